package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"text/tabwriter"
)

// secretsCmd is about the keys that encrypt secrets at rest.
type secretsCmd struct {
	Status secretsStatusCmd `cmd:"" help:"Count what is sealed, by the key that has sealed it."`
	Rotate secretsRotateCmd `cmd:"" help:"Seal everything with the current key."`
}

// Help shows how it is used.
func (secretsCmd) Help() string {
	return `VEL_SECRET_KEY seals secrets in the database; the keys in VEL_SECRET_KEY_OLD, separated by commas, open what they have
sealed. To change the key: give every node the new one as VEL_SECRET_KEY_OLD, then swap the two on every node, then
rotate, and take the old one away when status shows nothing sealed with it.

Example:
  vel secrets status
  vel secrets rotate`
}

type sealedKey struct {
	ID     string `json:"id"`
	State  string `json:"state"` // current, old or missing
	Sealed int64  `json:"sealed"`
}

// sealedReport is what the API says of them.
type sealedReport struct {
	Resealed int64       `json:"resealed"`
	Broken   int64       `json:"broken"`
	Keys     []sealedKey `json:"keys"`
}

func (s *sealedReport) table() string {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "KEY\tSTATE\tSEALED")
	for _, k := range s.Keys {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%d\n", k.ID, k.State, k.Sealed)
	}
	_ = w.Flush() // a buffer takes everything
	return b.String()
}

// left counts what old keys have sealed and what would open.
func (s *sealedReport) left() (n int64) {
	for _, k := range s.Keys {
		if k.State == "old" {
			n += k.Sealed
		}
	}
	return n - s.Broken
}

type secretsStatusCmd struct{ manage }

func (c *secretsStatusCmd) Run(ctx context.Context, o *output) error {
	return c.with(ctx, o, func(r *remote) error {
		var s sealedReport
		if err := r.call(ctx, http.MethodGet, "/api/secrets", nil, "", nil, &s); err != nil {
			return err
		}
		return o.print(map[string]any{"keys": orEmpty(s.Keys)}, s.table())
	})
}

type secretsRotateCmd struct{ manage }

func (c *secretsRotateCmd) Run(ctx context.Context, o *output) error {
	return c.with(ctx, o, func(r *remote) error {
		var all int64
		var s sealedReport
		for done := false; !done; { // a server works on it for some seconds, and is asked again for the rest
			s = sealedReport{}
			if err := r.call(ctx, http.MethodPost, "/api/secrets/rotate", nil, "", nil, &s); err != nil {
				return err
			}
			all += s.Resealed
			done = s.Resealed == 0 || s.left() <= 0
		}
		s.Resealed = all
		text := fmt.Sprintf("%s sealed anew\n%s", counted(int(all), "secret"), s.table())
		if s.Broken > 0 {
			text += fmt.Sprintf("broken, although the key is there: %d; write these anew\n", s.Broken)
		}
		return o.print(s, text)
	})
}
