package accounting

import (
	"fmt"
	"regexp"
	"strings"
)

// rule says by what names a model is known: exactly one of its members is set. Texts are in small letters; names are
// compared without regard to case, but for Regex.
type rule struct {
	Or         []rule `json:"or"`
	And        []rule `json:"and"`
	Not        *rule  `json:"not"`
	Equals     string `json:"equals"`
	StartsWith string `json:"starts_with"`
	EndsWith   string `json:"ends_with"`
	Contains   string `json:"contains"`
	Regex      string `json:"regex"`

	compiled *regexp.Regexp
}

// compile prepares a rule and those within it.
func (r *rule) compile() (err error) {
	set := 0
	for _, is := range []bool{
		len(r.Or) > 0, len(r.And) > 0, r.Not != nil, r.Equals != "", r.StartsWith != "", r.EndsWith != "", r.Contains != "", r.Regex != "",
	} {
		if is {
			set++
		}
	}
	if set != 1 {
		return fmt.Errorf("a rule has %d conditions, not one", set)
	}
	for _, inner := range [][]rule{r.Or, r.And} {
		for i := range inner {
			if err := inner[i].compile(); err != nil {
				return err
			}
		}
	}
	if r.Not != nil {
		return r.Not.compile()
	}
	if r.Regex != "" {
		r.compiled, err = regexp.Compile(r.Regex)
	}
	return err
}

// fits tells whether a name is one of the model's.
func (r *rule) fits(name string) bool {
	small := strings.ToLower(name)
	switch {
	case len(r.Or) > 0:
		for i := range r.Or {
			if r.Or[i].fits(name) {
				return true
			}
		}
		return false
	case len(r.And) > 0:
		for i := range r.And {
			if !r.And[i].fits(name) {
				return false
			}
		}
		return true
	case r.Not != nil:
		return !r.Not.fits(name)
	case r.Equals != "":
		return small == r.Equals
	case r.StartsWith != "":
		return strings.HasPrefix(small, r.StartsWith)
	case r.EndsWith != "":
		return strings.HasSuffix(small, r.EndsWith)
	case r.Contains != "":
		return strings.Contains(small, r.Contains)
	}
	return r.compiled.MatchString(name)
}
