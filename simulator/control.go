package simulator

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxControl bounds the body of a control request.
const maxControl = 1 << 20

// control serves the paths below /simulator/, which no provider has. They need no key.
func (s *Server) control(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxControl))
	connOf(r.Context()).rearm()
	if err != nil {
		errTooLarge(maxControl).send(w)
		return
	}
	path := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/simulator/"), "/")
	id, one := strings.CutPrefix(path, "requests/")
	switch {
	case one && r.Method == http.MethodGet:
		s.showRequest(w, id)
	case path == "requests" && r.Method == http.MethodGet:
		sendValue(w, map[string]any{"requests": s.recorder.list()})
	case path == "profiles" && r.Method == http.MethodGet:
		sendValue(w, map[string]any{"profiles": s.provider.Profiles})
	case path == "stats" && r.Method == http.MethodGet:
		s.showStats(w, r)
	case path == "stats" && r.Method == http.MethodDelete:
		s.ResetStats()
		sendValue(w, s.Stats())
	case path == "faults" && r.Method == http.MethodGet:
		s.showFaults(w)
	case path == "faults" && r.Method == http.MethodPut:
		s.putFaults(w, body)
	case path == "faults" && r.Method == http.MethodDelete:
		_ = s.SetFaults("") // no word can not be wrong
		s.showFaults(w)
	case one || slices.Contains([]string{"requests", "profiles", "stats", "faults"}, path):
		errMethod(r.Method, r.URL.Path).send(w)
	default:
		errURL(r.Method, r.URL.Path).send(w)
	}
}

// sendValue answers with a value of ours, which always encodes.
func sendValue(w http.ResponseWriter, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		(&apiError{status: 500, kind: "server_error", message: err.Error()}).send(w)
		return
	}
	sendJSON(w, append(body, '\n'))
}

func (s *Server) showRequest(w http.ResponseWriter, id string) {
	q, ok := s.recorder.find(id)
	if !ok {
		(&apiError{status: 404, message: "No request with this id is kept.", param: "id", code: "not_found"}).send(w)
		return
	}
	sendValue(w, q)
}

// showStats answers with the counters; with ?left=3&open=0&wait=2s only when left ≥ 3 and open is 0, or
// after the two seconds with 408.
func (s *Server) showStats(w http.ResponseWriter, r *http.Request) {
	wanted, wait, err := conditions(r.URL.Query())
	if err != nil {
		errValue("query", err.Error()).send(w)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	stats, err := s.Await(ctx, func(t Stats) bool {
		have := t.counters()
		for name, n := range wanted {
			if n == 0 && have[name] != 0 || have[name] < n {
				return false
			}
		}
		return true
	})
	if err != nil {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusRequestTimeout)
		_ = json.NewEncoder(w).Encode(stats)
		return
	}
	sendValue(w, stats)
}

// defaultWait is how long a condition on the counters is waited for.
const defaultWait = 5 * time.Second

func conditions(query url.Values) (wanted map[string]int64, wait time.Duration, err error) {
	wanted, wait = map[string]int64{}, defaultWait
	known := (&Stats{}).counters()
	for name := range query {
		value := query.Get(name)
		if name == "wait" {
			if wait, err = time.ParseDuration(value); err != nil || wait < 0 || wait > maxPause {
				return nil, 0, fmt.Errorf("wait must be a duration from 0 to %s", maxPause)
			}
			continue
		}
		if _, ok := known[name]; !ok {
			return nil, 0, fmt.Errorf("unknown counter %q; known are wait and %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		if wanted[name], err = strconv.ParseInt(value, 10, 64); err != nil {
			return nil, 0, fmt.Errorf("%s must be a whole number", name)
		}
	}
	return wanted, wait, nil
}

func (s *Server) showFaults(w http.ResponseWriter) {
	s.mu.Lock()
	given := strings.Join(s.given, " ")
	s.mu.Unlock()
	sendValue(w, map[string]any{"faults": given, "words": words})
}

// putFaults takes a JSON object of words and values: {"status": 503, "gzip": true, "latency": "200ms"}.
func (s *Server) putFaults(w http.ResponseWriter, body []byte) {
	given, err := faultWords(body)
	if err == nil {
		err = s.SetFaults(given)
	}
	if err != nil {
		errValue("faults", err.Error()).send(w)
		return
	}
	s.showFaults(w)
}

func faultWords(body []byte) (string, error) {
	var object map[string]any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&object); err != nil {
		return "", fmt.Errorf("read the faults as a JSON object: %w", err)
	}
	var given []string
	for _, name := range slices.Sorted(maps.Keys(object)) {
		switch v := object[name].(type) {
		case bool, json.Number:
			given = append(given, fmt.Sprintf("%s=%v", name, v))
		case string:
			if strings.ContainsAny(name+v, " \t\r\n=") {
				return "", fmt.Errorf("%q: words and values have no spaces", name)
			}
			given = append(given, name+"="+v)
		default:
			return "", fmt.Errorf("%q must be a string, a number or a boolean", name)
		}
	}
	return strings.Join(given, " "), nil
}
