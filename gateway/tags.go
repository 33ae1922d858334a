package gateway

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
)

// nameTags is the header field in which a client tells what a call is for, as: team=search,env=prod. Records keep it, and
// reports add up by it.
const nameTags = "X-Vel-Tags"

// The limits of tags. They are kept with every call.
const (
	mostTags       = 16
	longestTag     = 64  // of a key, in bytes
	longestTagText = 256 // of a value, in characters
)

// readTags reads what the client said into the record, where it aliases the request.
func (c *Call) readTags() error {
	for _, field := range c.Tags {
		for len(field) > 0 {
			var pair []byte
			if pair, field, _ = bytes.Cut(field, []byte(",")); len(bytes.TrimSpace(pair)) == 0 {
				continue
			}
			if err := c.addTag(bytes.TrimSpace(pair)); err != nil {
				c.record.Tags = c.record.Tags[:0]
				return err
			}
		}
	}
	return nil
}

func (c *Call) addTag(pair []byte) error {
	key, value, found := bytes.Cut(pair, []byte("="))
	tag := accounting.Tag{Key: view(bytes.TrimSpace(key)), Value: c.unkeyed(view(bytes.TrimSpace(value)))}
	switch {
	case !found:
		return errTags("a pair has no '='")
	case !tagKey(tag.Key):
		return errTags("a key has 1 to " + strconv.Itoa(longestTag) + " letters, digits, '_', '.' and '-'")
	case !tagText(tag.Value):
		return errTags("a value has 1 to " + strconv.Itoa(longestTagText) + " visible characters")
	case len(c.record.Tags) == mostTags:
		return errTags("there are more than " + strconv.Itoa(mostTags) + " pairs")
	}
	for i := range c.record.Tags {
		if c.record.Tags[i].Key == tag.Key {
			return errTags("the key '" + tag.Key + "' is there twice")
		}
	}
	c.record.Tags = append(c.record.Tags, tag)
	return nil
}

func tagKey(key string) bool {
	return len(key) > 0 && len(key) <= longestTag && strings.IndexFunc(key, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '.' && r != '-'
	}) < 0
}

func tagText(value string) bool {
	return len(value) > 0 && utf8.ValidString(value) && utf8.RuneCountInString(value) <= longestTagText &&
		strings.IndexFunc(value, func(r rune) bool { return !unicode.IsGraphic(r) }) < 0
}

func errTags(why string) *adapters.Error {
	return invalid(http.StatusBadRequest, "invalid_value", "x-vel-tags", "Invalid header 'x-vel-tags': "+why+".")
}
