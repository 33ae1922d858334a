package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// mallocs counts a Go program's allocations through its metrics.
type mallocs struct {
	url   string
	start float64
	cost  float64 // of one reading, in the program read
}

// startMallocs reads three times: the first pays for the connection, the next two tell what a reading costs.
func startMallocs(ctx context.Context, url string) (*mallocs, error) {
	m := &mallocs{url: url}
	if url == "" {
		return m, nil
	}
	var seen [3]float64
	for i := range seen {
		var err error
		if seen[i], err = m.read(ctx); err != nil {
			return nil, err
		}
	}
	m.start, m.cost = seen[2], seen[2]-seen[1]
	return m, nil
}

// sinceStart gives nil where there is nothing to read.
func (m *mallocs) sinceStart(ctx context.Context) (*float64, error) {
	if m.url == "" {
		return nil, nil
	}
	now, err := m.read(ctx)
	if err != nil {
		return nil, err
	}
	n := max(0, now-m.start-m.cost)
	return &n, nil
}

func (m *mallocs) read(ctx context.Context) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Accept-Encoding", "identity") // no compressor to be made for the answer
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: status %d", m.url, resp.StatusCode)
	}
	return numberAfter(string(text), "\ngo_memstats_mallocs_total ")
}
