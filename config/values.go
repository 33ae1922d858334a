package config

import (
	"errors"
	"net/url"
	"strconv"
	"strings"

	"github.com/vel-gateway/vel/gateway"
	"github.com/vel-gateway/vel/secrets"
)

// Database says where everything durable lives. A URL may hold a password, so it is kept as a secret and no
// error quotes it.
type Database struct {
	sqlite string
	url    secrets.Secret
}

// SQLite is the path of the database file, and whether the database is one.
func (d Database) SQLite() (path string, ok bool) { return d.sqlite, d.sqlite != "" }

// Postgres is the URL of the database, and whether the database is Postgres.
func (d Database) Postgres() (u secrets.Secret, ok bool) { return d.url, !d.url.IsZero() }

// UnmarshalText reads sqlite:PATH or a Postgres URL; the empty text is no database.
func (d *Database) UnmarshalText(text []byte) error {
	in := string(text)
	if path, ok := strings.CutPrefix(in, "sqlite:"); ok && path != "" {
		*d = Database{sqlite: path}
		return nil
	}
	if in != "" && !isURL(in, "postgres", "postgresql") {
		return errors.New("is neither sqlite:PATH nor a postgres:// URL")
	}
	*d = Database{url: secrets.New(in)}
	return nil
}

// Redis is one Redis, or the first nodes of a cluster. Its URLs may hold a password.
type Redis struct{ urls secrets.Secret }

// URLs are the nodes, separated by commas; no secret means that there is no Redis.
func (r Redis) URLs() secrets.Secret { return r.urls }

// UnmarshalText reads redis:// or rediss:// URLs separated by commas; further hosts may stand without the scheme.
func (r *Redis) UnmarshalText(text []byte) error {
	in := string(text)
	for i, node := range strings.Split(in, ",") {
		if i > 0 && !strings.Contains(node, "://") {
			node = "redis://" + node
		}
		if in != "" && !isURL(strings.TrimSpace(node), "redis", "rediss") {
			return errors.New("is not a redis:// or rediss:// URL")
		}
	}
	r.urls = secrets.New(in)
	return nil
}

// isURL drops the parser's error on purpose: it quotes the URL with its password.
func isURL(text string, schemes ...string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return false
	}
	for _, s := range schemes {
		if u.Scheme == s {
			return true
		}
	}
	return false
}

// Share is a size, or a percentage of what there is. One of the two is 0.
type Share struct {
	Bytes   gateway.Size
	Percent int64
}

// UnmarshalText reads 10GiB or 20%.
func (s *Share) UnmarshalText(text []byte) error {
	digits, ok := strings.CutSuffix(string(text), "%")
	if !ok {
		*s = Share{}
		return s.Bytes.UnmarshalText(text)
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 1 || n > 100 {
		return errors.New("is not a percentage from 1% to 100%")
	}
	*s = Share{Percent: n}
	return nil
}

// passwords are those in URLs, several of which may stand in one secret with commas between.
func passwords(urls ...secrets.Secret) (found []secrets.Secret) {
	for _, several := range urls {
		for one := range strings.SplitSeq(several.Reveal(), ",") {
			if u, err := url.Parse(strings.TrimSpace(one)); err == nil && u.User != nil {
				if password, ok := u.User.Password(); ok {
					found = append(found, secrets.New(password))
				}
			}
		}
	}
	return found
}
