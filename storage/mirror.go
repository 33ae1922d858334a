package storage

import (
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tenancy"
)

// mirror is as JSON what a call says of the one that it is a copy of.
type mirror struct {
	Of         tenancy.ID    `json:"of"`
	Org        tenancy.ID    `json:"org,omitempty"`
	Provider   string        `json:"provider,omitempty"`
	Model      string        `json:"model,omitempty"`
	FirstToken time.Duration `json:"first_ns,omitempty"`
	Total      time.Duration `json:"total_ns,omitempty"`
	TokensIn   int64         `json:"in,omitempty"`
	TokensOut  int64         `json:"out,omitempty"`
	Cost       money.Nano    `json:"cost,omitempty"`
	Finish     string        `json:"finish,omitempty"`
	CopyFinish string        `json:"copy_finish,omitempty"`
	Compared   bool          `json:"compared,omitempty"`
	Same       bool          `json:"same,omitempty"`
}

func mirrorText(m accounting.Mirror) string {
	if m.Of == "" {
		return ""
	}
	return jsonText(mirror(m))
}

func cleanMirror(m *accounting.Mirror) {
	for _, id := range []*tenancy.ID{&m.Of, &m.Org} {
		*id = tenancy.ID(clean(string(*id), longestIndexed))
	}
	for _, s := range []*string{&m.Provider, &m.Model, &m.Finish, &m.CopyFinish} {
		*s = clean(*s, longestIndexed)
	}
}
