package gateway

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/adapters/strictjson"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// The list of what an organization has in accounts that it shares. Which objects these are is known here; what they
// look like now only the provider knows, so each of them is fetched.

const (
	longestList  = 100     // objects in one answer
	usualList    = 20      // unless the caller says how many
	looked       = 1000    // objects that are fetched for one answer, if a filter leaves most of them out
	atOnce       = 16      // fetches at the same time
	largestList  = 8 << 20 // bytes of objects, behind which the answer ends
	largestEntry = 2 << 20 // bytes of one object
)

// listing is a list on its way.
type listing struct {
	of     *family
	page   routing.ObjectPage
	filter []filter
}

// filter leaves out objects whose member has another value.
type filter struct {
	path  []string
	value string
}

// listOf reads what a client wants to see.
func listOf(of *family, c *Call) (*listing, error) {
	l := &listing{of: of, page: routing.ObjectPage{Org: c.Who.Org, Kind: of.kind, Provider: c.Account, Limit: usualList, Ascending: of.oldest}}
	query, err := url.ParseQuery(string(c.Content.Query))
	if err != nil {
		return nil, errQuery("query", "it can not be read")
	}
	for name, values := range query {
		if err := l.read(name, values[len(values)-1]); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *listing) read(name, value string) error {
	key, inMetadata := strings.CutPrefix(name, "metadata[")
	switch {
	case name == "limit":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			return errQuery(name, "it must be an integer from 1")
		}
		l.page.Limit = min(n, longestList)
	case name == "after":
		if !isID(value) {
			return errQuery(name, "there is no such object")
		}
		l.page.After = value
	case name == "order":
		if value != "asc" && value != "desc" {
			return errQuery(name, "it must be asc or desc")
		}
		l.page.Ascending = value == "asc"
	case inMetadata && strings.HasSuffix(key, "]") && slices.Contains(l.of.filters, "metadata"):
		l.filter = append(l.filter, filter{[]string{"metadata", strings.TrimSuffix(key, "]")}, value})
	case name != "metadata" && slices.Contains(l.of.filters, name):
		l.filter = append(l.filter, filter{[]string{name}, value})
	default:
		return errFilter(name, l.of.path)
	}
	return nil
}

// fits tells whether the client wants to see the object.
func (l *listing) fits(object []byte) bool {
	for _, f := range l.filter {
		v := gjson.ParseBytes(object)
		for _, name := range f.path {
			v = v.Map()[name]
		}
		if v.String() != f.value {
			return false
		}
	}
	return true
}

// entry is an object of the answer.
type entry struct {
	id   string
	body []byte // nil: it is gone
}

// answerList makes the answer to a list.
func (p *Pipeline) answerList(c *Call) error {
	l := c.list
	var shown []entry
	size, seen, more := 0, 0, true
	for more && len(shown) < l.page.Limit && size < largestList && seen < looked {
		found, rest, err := p.nextObjects(l, l.page.Limit-len(shown))
		if err != nil {
			return err
		}
		entries, err := p.fetchAll(c, found)
		if err != nil {
			return err
		}
		more, seen = rest, seen+len(found)
		for _, e := range entries {
			switch {
			case e.body == nil || !l.fits(e.body):
			case len(shown) == l.page.Limit:
				more = true
			default:
				shown, size = append(shown, e), size+len(e.body)
			}
		}
	}
	if more && len(shown) == 0 {
		return errFewFit // an empty page would be taken for the end
	}
	c.whole = appendList(c.whole[:0], shown, more)
	c.pieces, c.ended, c.length = append(c.pieces, c.whole), true, len(c.whole)
	return nil
}

func appendList(b []byte, shown []entry, more bool) []byte {
	b = append(b, `{"object":"list","data":[`...)
	first, last := "", ""
	for i, e := range shown {
		if i > 0 {
			b = append(b, ',')
		} else {
			first = e.id
		}
		b, last = append(b, e.body...), e.id
	}
	b = appendOrNull(append(b, `],"first_id":`...), first)
	b = appendOrNull(append(b, `,"last_id":`...), last)
	b = strconv.AppendBool(append(b, `,"has_more":`...), more)
	return append(b, '}')
}

// nextObjects gives the next objects to fetch, at most want unless a filter will leave some out, and whether there are
// more.
func (p *Pipeline) nextObjects(l *listing, want int) (found []routing.StoredObject, more bool, err error) {
	n := min(want, atOnce)
	if len(l.filter) > 0 {
		n = atOnce
	}
	page := l.page
	page.Limit = n + 1
	found, err = p.objects.Page(page)
	switch {
	case errors.Is(err, tenancy.ErrNotFound):
		return nil, false, errQuery("after", "there is no such object")
	case err != nil:
		return nil, false, unknownOwners(err)
	}
	if more = len(found) > n; more {
		found = found[:n]
	}
	if len(found) > 0 {
		l.page.After = found[len(found)-1].ID
	}
	return found, more, nil
}

// fetchAll fetches objects side by side, in their order.
func (p *Pipeline) fetchAll(c *Call, found []routing.StoredObject) ([]entry, error) {
	entries, failed := make([]entry, len(found)), make([]error, len(found))
	var fetching sync.WaitGroup
	for i := range found {
		fetching.Go(func() {
			body, err := p.fetch(c, &found[i])
			entries[i], failed[i] = entry{found[i].ID, body}, err
		})
	}
	fetching.Wait()
	for _, err := range failed {
		if err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// fetch gets an object from its provider by a call of its own, which no client waits for and no record tells of. What
// is gone there is nil, and forgotten.
func (p *Pipeline) fetch(c *Call, o *routing.StoredObject) (body []byte, err error) {
	part := p.acquire(c.ID)
	defer p.release(part)
	defer func() {
		if reason := recover(); reason != nil {
			err = p.panicked(part, reason)
		}
		c.leave(part)
		class := part.endClass(err)
		part.finish(class)
		part.span.attempted(part, class, 0)
	}()
	part.snapshot, part.Who, part.recorded, part.span = c.snapshot, c.Who, true, c.span.part()
	part.Content = adapters.Content{Endpoint: adapters.Objects, Method: http.MethodGet, Path: []byte(c.list.of.path + "/" + o.ID)}
	ask := routing.Ask{Who: c.Who, Endpoint: adapters.Objects, Holder: o.Provider}
	if c.snapshot.Routes.PlanObject(&part.plan, &ask, p.state, part.begun) != nil {
		return nil, nil // its provider is not there any more, or not for this organization
	}
	c.join(part)
	if err := p.attempt(part); err != nil {
		part.failed = err
		if e := asError(err); e.Class == adapters.ClassInvalid && e.Status == http.StatusNotFound {
			p.objects.Forget(*o)
			return nil, nil
		}
		return nil, err
	}
	var whole bounded
	if _, err := p.Relay(part, &whole); err != nil || part.failed != nil {
		return nil, errEntry
	}
	if !strictjson.Valid(whole.b) {
		return nil, errEntry
	}
	return whole.b, nil
}

// bounded is what a provider says of one object.
type bounded struct{ b []byte }

var errLargeEntry = errors.New("an object is too large")

func (w *bounded) Write(p []byte) (int, error) {
	if len(w.b)+len(p) > largestEntry {
		return 0, errLargeEntry
	}
	w.b = append(w.b, p...)
	return len(p), nil
}

// join lets what ends the call end a part of it too; leave takes the part out again.
func (c *Call) join(part *Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parts = append(c.parts, part)
	if c.why != adapters.ClassNone {
		part.end(c.why)
	}
}

func (c *Call) leave(part *Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parts = slices.DeleteFunc(c.parts, func(other *Call) bool { return other == part })
}
