package responses

import "github.com/tidwall/gjson"

// sources gathers what a provider found on the web, each address once.
type sources struct {
	results []string // as they came
	urls    []string
	known   map[string]struct{}
}

// most is how many are kept: a deep research reads some hundreds of pages.
const most = 4096

// fromOutput takes the results of all items that have any.
func (s *sources) fromOutput(output gjson.Result) {
	output.ForEach(func(_, item gjson.Result) bool {
		s.fromItem(item)
		return true
	})
}

// fromItem takes the results of an item, or of an event that carries some.
func (s *sources) fromItem(item gjson.Result) {
	switch item.Get("type").Str {
	case "search_results", "people_search_results", "response.reasoning.search_results":
	default:
		return
	}
	item.Get("results").ForEach(func(_, result gjson.Result) bool {
		s.add(result)
		return len(s.urls) < most
	})
}

func (s *sources) add(result gjson.Result) {
	url := result.Get("url").Str
	if _, ok := s.known[url]; ok || url == "" {
		return
	}
	if s.known == nil {
		s.known = map[string]struct{}{}
	}
	url = string([]byte(url)) // the result lies in a buffer that will be used again
	s.known[url] = struct{}{}
	s.urls = append(s.urls, url)
	s.results = append(s.results, string([]byte(result.Raw)))
}

// write appends the two members as Sonar had them.
func (s *sources) write(w *writer) {
	w.key("citations")
	w.open('[')
	for _, url := range s.urls {
		w.comma()
		w.b = gjson.AppendJSONString(w.b, url)
	}
	w.close(']')
	w.key("search_results")
	w.open('[')
	for _, result := range s.results {
		w.value(result)
	}
	w.close(']')
}
