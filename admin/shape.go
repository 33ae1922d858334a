package admin

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/tenancy"
)

// Object is what the API shows of every object.
type Object struct {
	ID           tenancy.ID `json:"id" doc:"It never changes."`
	Organization tenancy.ID `json:"organization" doc:"Whose it is."`
	Name         string     `json:"name" doc:"For people. But for users it is unique within the organization and the kind."`
	ManagedBy    string     `json:"managed_by" enum:"api,file,vel" doc:"Who owns it: this API, the configuration file, or Vel itself. Only what the API owns can be changed here."`
	Shadowed     bool       `json:"shadowed" doc:"The configuration file declares another object with this name, and that one is in force."`
	Revision     int64      `json:"revision" doc:"It grows with every change, and is the ETag."`
	Created      *time.Time `json:"created" doc:"Null if the file declares it, or it is built in."`
	Updated      *time.Time `json:"updated" doc:"Likewise."`
}

func objectOf(m *tenancy.Meta) Object {
	return Object{m.ID, m.Org, m.Name, m.ManagedBy.String(), m.Shadowed, m.Rev, timeOf(m.Created), timeOf(m.Updated)}
}

// timeOf is a time as the API shows it: null for none.
func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// Ref names an object.
type Ref tenancy.ID

// Schema is the form of an id: that of Vel's own, and that of what a file declares, such as key:acme/ci.
func (Ref) Schema(huma.Registry) *huma.Schema {
	shortest, longest := 1, 160
	return &huma.Schema{
		Type: huma.TypeString, Pattern: "^[A-Za-z0-9][A-Za-z0-9_.:/-]*$", PatternDescription: "an id", MinLength: &shortest, MaxLength: &longest,
	}
}

// ids are what refs name, each once and in a fixed order.
func ids(refs []Ref) []tenancy.ID {
	list := make([]tenancy.ID, len(refs))
	for i, r := range refs {
		list[i] = tenancy.ID(r)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// ListOf is a page of objects.
type ListOf[V any] struct {
	Data []V         `json:"data" nullable:"false" doc:"In the order of ids."`
	Next *tenancy.ID `json:"next" doc:"Send it as after to get the next page; null: this is the last one."`
}

// InOrganization names the organization.
type InOrganization struct {
	Organization Ref `query:"organization" doc:"Whose objects; your own if it is not named. Only platform administrators reach others."`
}

// listInput is what a list is asked for. Which of the filters a kind has, its resource says.
type listInput struct {
	Asked
	InOrganization
	Limit int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"The most objects on the page."`
	After Ref    `query:"after" doc:"The value of next on the page before."`
	Name  string `query:"name" minLength:"1" maxLength:"256" pattern:"^[^\\x00-\\x1f]*$" doc:"Only the one with this name."`
	Email string `query:"email" minLength:"1" maxLength:"254" pattern:"^[^\\x00-\\x1f]*$" doc:"Only those with this address."`
	Team  Ref    `query:"team" doc:"Only those of this team."`
	User  Ref    `query:"user" doc:"Only those of this user."`
	Key   Ref    `query:"key" doc:"Only those of this key."`
}

// Item names one object.
type Item struct {
	InOrganization
	ID Ref `path:"id" doc:"The object's id."`
}

// Conditional says which revision a change is meant for.
type Conditional struct {
	IfMatch string `header:"If-Match" pattern:"^\\*$|^(W/)?\"[0-9]{1,19}\"$" doc:"The ETag that you have read: if the object was changed since, the answer is a 412. Without it, the last change wins."`
}

// any tells whether no revision was named.
func (c *Conditional) any() bool { return c.IfMatch == "" || c.IfMatch == "*" }

// matches tells whether a revision is the one that was meant.
func (c *Conditional) matches(rev int64) bool {
	return c.any() || strings.TrimPrefix(c.IfMatch, "W/") == etag(rev)
}

func etag(rev int64) string { return strconv.Quote(strconv.FormatInt(rev, 10)) }

type getInput struct {
	Asked
	Item
}

type createInput[New any] struct {
	Asked
	InOrganization
	Idempotent
	Body New
}

type changeInput[Change any] struct {
	Asked
	Item
	Conditional
	Body Change
}

type deleteInput struct {
	Asked
	Item
	Conditional
}

type listOutput[V any] struct{ Body ListOf[V] }

// itemOutput is one object.
type itemOutput[V any] struct {
	ETag string `header:"ETag" doc:"The object's revision."`
	Body V
}

// createOutput is a new object.
type createOutput[V any] struct {
	ETag     string `header:"ETag" doc:"The object's revision."`
	Location string `header:"Location" doc:"Where the object is."`
	Replayed string `header:"Idempotency-Replayed" enum:"true" doc:"This is the answer to an earlier request with the same Idempotency-Key."`
	Body     V
}

// setReplayed marks an answer that was kept.
func (o *createOutput[V]) setReplayed() { o.Replayed = "true" }

// emptyOutput is an answer without a body.
type emptyOutput struct{}

// NewIn lets the body of a create name the organization, instead of the query.
type NewIn struct {
	Organization Ref `json:"organization,omitempty" nullable:"true" doc:"Whose it is; your own if it is left out."`
}

// idOf is an id as the API shows it: null for none.
func idOf(id tenancy.ID) *tenancy.ID {
	if id == "" {
		return nil
	}
	return &id
}
