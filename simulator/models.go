package simulator

import (
	"net/http"
	"strconv"
)

// modelsCreated is when all models say they were made: 2025-01-01.
const modelsCreated = 1735689600

func (s *Server) appendModel(b []byte, model string) []byte {
	b = appendString(append(b, `{"id":`...), model)
	b = strconv.AppendInt(append(b, `,"object":"model","created":`...), modelsCreated, 10)
	return append(appendString(append(b, `,"owned_by":`...), s.provider.Name), '}')
}

func (s *Server) listModels(w http.ResponseWriter) {
	b := []byte(`{"object":"list","data":[`)
	for i := range s.provider.Profiles {
		if i > 0 {
			b = append(b, ',')
		}
		b = s.appendModel(b, s.provider.Profiles[i].Model)
	}
	sendJSON(w, append(b, `]}`...))
}

func (s *Server) showModel(w http.ResponseWriter, model string) {
	if _, ok := s.provider.profile(model); !ok {
		e := &apiError{status: 404, message: "The model '" + model + "' does not exist", param: "model", code: "model_not_found"}
		s.fail(w, e)
		return
	}
	sendJSON(w, s.appendModel(nil, model))
}

func sendJSON(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	// Nobody is left to be told if this fails.
	_, _ = w.Write(body)
}
