package accounting

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tenancy"
)

// Mirror is what the record of a copy says of the call that it is a copy of: what that one took and cost, and how the two
// answers compare. The zero Mirror is of a call that is no copy. What the copy itself took stands in its own record.
type Mirror struct {
	Of                  tenancy.ID // the call
	Org                 tenancy.ID // whose that is
	Provider, Model     string     // who answered it
	FirstToken, Total   time.Duration
	TokensIn, TokensOut int64
	Cost                money.Nano
	Finish, CopyFinish  string // why each of the answers ends, as its provider says; empty: it does not
	Compared            bool   // both have a text
	Same                bool   // and it is the same
}

// The fields of a mirror.
const (
	mirrorOf protowire.Number = iota + 1
	mirrorOrg
	mirrorProvider
	mirrorModel
	mirrorFirstToken
	mirrorTotal
	mirrorTokensIn
	mirrorTokensOut
	mirrorCost
	mirrorFinish
	mirrorCopyFinish
	mirrorCompared
	mirrorSame
)

func (m *Mirror) append(b []byte) []byte {
	if m.Of == "" {
		return b
	}
	b, at := openMessage(b, fieldMirror)
	b = appendID(b, mirrorOf, m.Of)
	b = appendID(b, mirrorOrg, m.Org)
	b = appendText(b, mirrorProvider, m.Provider)
	b = appendText(b, mirrorModel, m.Model)
	b = appendDuration(b, mirrorFirstToken, m.FirstToken)
	b = appendDuration(b, mirrorTotal, m.Total)
	b = appendNumber(b, mirrorTokensIn, m.TokensIn)
	b = appendNumber(b, mirrorTokensOut, m.TokensOut)
	b = appendNumber(b, mirrorCost, int64(m.Cost))
	b = appendText(b, mirrorFinish, m.Finish)
	b = appendText(b, mirrorCopyFinish, m.CopyFinish)
	b = appendTruth(b, mirrorCompared, m.Compared)
	b = appendTruth(b, mirrorSame, m.Same)
	return closeMessage(b, at)
}

func (m *Mirror) decode(from message) error {
	return from.each(func(f field) error {
		switch f.number {
		case mirrorOf:
			m.Of = tenancy.ID(f.text)
		case mirrorOrg:
			m.Org = tenancy.ID(f.text)
		case mirrorProvider:
			m.Provider = f.text
		case mirrorModel:
			m.Model = f.text
		case mirrorFirstToken:
			m.FirstToken = f.duration()
		case mirrorTotal:
			m.Total = f.duration()
		case mirrorTokensIn:
			m.TokensIn = f.n
		case mirrorTokensOut:
			m.TokensOut = f.n
		case mirrorCost:
			m.Cost = money.Nano(f.n)
		case mirrorFinish:
			m.Finish = f.text
		case mirrorCopyFinish:
			m.CopyFinish = f.text
		case mirrorCompared:
			m.Compared = f.n != 0
		case mirrorSame:
			m.Same = f.n != 0
		}
		return nil
	})
}
