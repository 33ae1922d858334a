package admin

import (
	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/tenancy"
)

// Mirror is the call of which another one is a copy, beside what the copy's own record says.
type Mirror struct {
	Of           tenancy.ID `json:"of" doc:"The call that was answered."`
	Organization tenancy.ID `json:"organization" doc:"Whose it is."`
	Provider     string     `json:"provider" doc:"Who answered it."`
	Model        string     `json:"model"`
	FirstToken   *float64   `json:"first_token_ms"`
	Total        float64    `json:"total_ms"`
	TokensIn     int64      `json:"tokens_in"`
	TokensOut    int64      `json:"tokens_out"`
	Cost         string     `json:"cost_usd"`
	Finish       *string    `json:"finish_reason" doc:"Of its answer; null: there was none."`
	CopyFinish   *string    `json:"copy_finish_reason" doc:"Of the copy's."`
	Same         *bool      `json:"same_text" doc:"Both answers have the same text; null: they have none that could be compared."`
}

func viewMirror(m *accounting.Mirror) *Mirror {
	if m.Of == "" {
		return nil
	}
	v := &Mirror{
		Of: m.Of, Organization: m.Org, Provider: m.Provider, Model: m.Model, FirstToken: orNone(m.FirstToken), Total: millis(m.Total),
		TokensIn: m.TokensIn, TokensOut: m.TokensOut, Cost: m.Cost.String(), Finish: textOf(m.Finish), CopyFinish: textOf(m.CopyFinish),
	}
	if m.Compared {
		v.Same = &m.Same
	}
	return v
}
