package gateway

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing"
)

// capture keeps what is registered, so that a test can read names and labels of metrics that have no value yet.
type capture struct{ collectors []prometheus.Collector }

func (c *capture) Register(x prometheus.Collector) error {
	c.collectors = append(c.collectors, x)
	return nil
}

func (c *capture) MustRegister(xs ...prometheus.Collector) {
	c.collectors = append(c.collectors, xs...)
}
func (c *capture) Unregister(prometheus.Collector) bool { return false }

var described = regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)

// Every metric of the data plane stands in docs/deployment.md with all its labels.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	text := docsPage(t, "deployment.md")
	registered := &capture{}
	NewMetrics(registered)
	found := 0
	for _, c := range registered.collectors {
		descs := make(chan *prometheus.Desc, 8)
		c.Describe(descs)
		close(descs)
		for d := range descs {
			m := described.FindStringSubmatch(d.String())
			if m == nil {
				t.Fatalf("a description that this test can not read: %s", d)
			}
			found++
			_, row, ok := strings.Cut(text, "\n| `"+m[1]+"` |")
			if !ok {
				t.Errorf("%s is not in the table of metrics", m[1])
				continue
			}
			row, _, _ = strings.Cut(row, "\n")
			for label := range strings.SplitSeq(m[2], ",") {
				if label != "" && !strings.Contains(row, "`"+label+"`") {
					t.Errorf("%s: the label %s is not in its row: %s", m[1], label, row)
				}
			}
		}
	}
	if found == 0 {
		t.Fatal("no metric was found")
	}
}

// Every code that this package gives an error stands in docs/streaming-and-errors.md.
func TestCodesAreDocumented(t *testing.T) {
	t.Parallel()
	text := docsPage(t, "streaming-and-errors.md")
	all := map[string]bool{}
	for _, code := range codes {
		all[code] = true
	}
	delete(all, "client_left") // the client that it is said to has left
	for _, e := range []*adapters.Error{
		errNoKey, errBadKey, errTooLarge, errTooManyBodies, errSlow, errLargeHead, errMalformed, errTwoLengths, errInternal, errUnwell, errDatabase, errTooLargeBelow, errKeyReused, errAnswerLarge, errAnswerLost, errStillRuns,
		errUnknownPath("GET", "/"), errMethod("GET", "/", "POST"), errNotServed("/"), errUnknownModel(""), errDropped([]string{"n"}),
	} {
		all[e.Code] = true
	}
	for r := routing.UnknownModel; r <= routing.ByRule; r++ {
		all[ofRouting(&Call{}, r).Code] = true
	}
	for code := range all {
		if !strings.Contains(text, "`"+code+"`") {
			t.Errorf("the code %s is not documented", code)
		}
	}
}

func docsPage(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
