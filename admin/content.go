package admin

import (
	"context"
	"strings"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// Opener opens what is sealed. secrets.Keyring is one.
type Opener interface {
	Open(sealed string, place ...string) ([]byte, error)
}

// Content is what a call said, as far as it is kept.
type Content struct {
	Prompt     *string `json:"prompt" doc:"The request's body, without secrets and perhaps cut; null: it is not kept."`
	Answer     *string `json:"answer" doc:"The answer, likewise."`
	Unreadable *string `json:"unreadable" doc:"Why something that is kept can not be read: the node that answers does not have the key that has sealed it."`
}

// readContent opens what is kept of a call for somebody who may read it. It is shown only once it is written down that it
// was read.
func (s *Server) readContent(ctx context.Context, a *asking, r *accounting.Record, with Opener) (*Content, error) {
	if !a.by.May.Has(tenancy.ViewContent) {
		return nil, notAllowed.new("You need the permission " + tenancy.ViewContent.String() + ".")
	}
	if len(r.Prompt)+len(r.Answer) == 0 {
		return nil, nil
	}
	event := tenancy.NewAuditEvent(a.by, r.Who.Org, tenancy.ActionReadContent, tenancy.AuditObject{Kind: "call", ID: r.ID}, a.now)
	if err := s.Audit.Record(ctx, []tenancy.AuditEvent{event}); err != nil {
		return nil, err
	}
	c := &Content{}
	c.Prompt, c.Answer = c.open(with, r, r.Prompt), c.open(with, r, r.Answer)
	return c, nil
}

func (c *Content) open(with Opener, r *accounting.Record, sealed []byte) *string {
	if len(sealed) == 0 {
		return nil
	}
	text, err := with.Open(string(sealed), accounting.ContentPlace(r.Who.Org, r.ID)...)
	if err != nil {
		why := "it was sealed with the key " + secrets.SealedBy(string(sealed))
		c.Unreadable = &why
		return nil
	}
	valid := strings.ToValidUTF8(string(text), "�")
	return &valid
}
