package vel

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Metrics is one reading of /metrics: each sample's name with its labels, as printed, and its value.
type Metrics map[string]float64

// Metrics reads /metrics.
func (p *Process) Metrics(ctx context.Context) (Metrics, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	res, err := p.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read metrics: status %d", res.StatusCode)
	}
	m := Metrics{}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		name, value, ok := lastSpace(lines.Text())
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if m[name], err = strconv.ParseFloat(value, 64); err != nil {
			return nil, fmt.Errorf("read metric %s: %w", name, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	return m, nil
}

// Sum adds up all samples of a metric whose labels hold all of the given ones, each written as name="value".
func (m Metrics) Sum(metric string, labels ...string) float64 {
	var sum float64
next:
	for name, value := range m {
		bare, rest, _ := strings.Cut(name, "{")
		if bare != metric {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(rest, l) {
				continue next
			}
		}
		sum += value
	}
	return sum
}

// Has says whether there is any sample of the metric, of a histogram its count.
func (m Metrics) Has(metric string) bool {
	for name := range m {
		if bare, _, _ := strings.Cut(name, "{"); bare == metric || bare == metric+"_count" {
			return true
		}
	}
	return false
}

// lastSpace cuts a sample line before its value; a label's value may hold spaces.
func lastSpace(line string) (name, value string, ok bool) {
	i := strings.LastIndexByte(line, ' ')
	if i < 0 {
		return "", "", false
	}
	return line[:i], line[i+1:], true
}
