package admin

import (
	"strconv"
	"strings"
	"time"

	"github.com/vel-gateway/vel/tenancy"
)

// Object is what the API shows of every object.
type Object struct {
	ID           tenancy.ID `json:"id" doc:"It never changes."`
	Organization tenancy.ID `json:"organization" doc:"Whose it is."`
	Name         string     `json:"name" doc:"For people; unique within the organization and the kind."`
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

// ListOf is a page of objects.
type ListOf[V any] struct {
	Data []V         `json:"data" nullable:"false" doc:"In the order of ids."`
	Next *tenancy.ID `json:"next" doc:"Send it as after to get the next page; null: this is the last one."`
}

// InOrganization names the organization.
type InOrganization struct {
	Organization tenancy.ID `query:"organization" maxLength:"160" pattern:"^[A-Za-z0-9][A-Za-z0-9_.:/-]*$" doc:"Whose objects; your own if it is not named. Only platform administrators reach others."`
}

// listInput is what a list is asked for. Which of the filters a kind has, its resource says.
type listInput struct {
	Asked
	InOrganization
	Limit int        `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"The most objects on the page."`
	After tenancy.ID `query:"after" maxLength:"160" pattern:"^[A-Za-z0-9][A-Za-z0-9_.:/-]*$" doc:"The value of next on the page before."`
	Name  string     `query:"name" maxLength:"256" pattern:"^[^\\x00-\\x1f]*$" doc:"Only the one with this name."`
	Email string     `query:"email" maxLength:"254" pattern:"^[^\\x00-\\x1f]*$" doc:"Only those with this address."`
	Team  tenancy.ID `query:"team" maxLength:"160" pattern:"^[A-Za-z0-9][A-Za-z0-9_.:/-]*$" doc:"Only those of this team."`
	User  tenancy.ID `query:"user" maxLength:"160" pattern:"^[A-Za-z0-9][A-Za-z0-9_.:/-]*$" doc:"Only those of this user."`
}

// Item names one object.
type Item struct {
	InOrganization
	ID tenancy.ID `path:"id" maxLength:"160" pattern:"^[A-Za-z0-9][A-Za-z0-9_.:/-]*$" doc:"The object's id."`
}

// Conditional says which revision a change is meant for.
type Conditional struct {
	IfMatch string `header:"If-Match" maxLength:"40" pattern:"^(\\*|(W/)?\"[0-9]+\")$" doc:"The ETag that you have read: if the object was changed since, the answer is a 412. Without it, the last change wins."`
}

// matches tells whether a revision is the one that was meant.
func (c *Conditional) matches(rev int64) bool {
	tag := strings.TrimPrefix(c.IfMatch, "W/")
	return tag == "" || tag == "*" || tag == etag(rev)
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
	Organization tenancy.ID `json:"organization,omitempty" nullable:"true" maxLength:"160" pattern:"^[A-Za-z0-9][A-Za-z0-9_.:/-]*$" doc:"Whose it is; your own if it is left out."`
}

// idOf is an id as the API shows it: null for none.
func idOf(id tenancy.ID) *tenancy.ID {
	if id == "" {
		return nil
	}
	return &id
}
