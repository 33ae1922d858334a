package gateway

import (
	"slices"
	"testing"
)

func TestDefaultsAreValid(t *testing.T) {
	t.Parallel()
	c := Defaults()
	c.Validate(func(path, problem, _ string) { t.Errorf("%s %s", path, problem) })
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*Config)
		want   []string
	}{
		"any address":         {change: func(c *Config) { c.Listen = ":80" }},
		"IPv6":                {change: func(c *Config) { c.Listen = "[::1]:0" }},
		"localhost":           {change: func(c *Config) { c.Listen = "localhost:8080" }},
		"no port":             {change: func(c *Config) { c.Listen = "127.0.0.1" }, want: []string{"listen"}},
		"named port":          {change: func(c *Config) { c.Listen = "127.0.0.1:http" }, want: []string{"listen"}},
		"signed port":         {change: func(c *Config) { c.Listen = "127.0.0.1:+80" }, want: []string{"listen"}},
		"large port":          {change: func(c *Config) { c.Listen = "127.0.0.1:65536" }, want: []string{"listen"}},
		"a name":              {change: func(c *Config) { c.Listen = "vel.example:80" }, want: []string{"listen"}},
		"second address":      {change: func(c *Config) { c.AdminListen = "127.0.0.1:8081" }},
		"second is the first": {change: func(c *Config) { c.AdminListen = c.Listen }, want: []string{"admin.listen"}},
		"no bodies":           {change: func(c *Config) { c.Server.MaxBody = 0 }, want: []string{"server.max_body"}},
		"no uploads":          {change: func(c *Config) { c.Server.MaxUpload = 0 }, want: []string{"server.max_upload"}},
		"too little memory":   {change: func(c *Config) { c.Server.MaxBodyInFlight = 1 }, want: []string{"server.max_body_in_flight"}},
		"half a certificate":  {change: func(c *Config) { c.Server.TLS.Key = "key.pem" }, want: []string{"server.tls"}},
		"origins":             {change: func(c *Config) { c.Server.CORS.Origins = []string{"*", "https://a.example", "http://localhost:3000"} }},
		"no origins": {
			change: func(c *Config) {
				c.Server.CORS.Origins = []string{"a.example", "https://a.example/", "https://u@a.example", "ftp://a.example", ""}
			},
			want: []string{"server.cors.origins[0]", "server.cors.origins[1]", "server.cors.origins[2]", "server.cors.origins[3]", "server.cors.origins[4]"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := Defaults()
			tt.change(&c)
			var got []string
			c.Validate(func(path, problem, hint string) {
				got = append(got, path)
				if problem == "" || hint == "" {
					t.Errorf("%s: %q has hint %q", path, problem, hint)
				}
			})
			if !slices.Equal(got, tt.want) {
				t.Errorf("faults at %q, want %q", got, tt.want)
			}
		})
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Size{
		"0": 0, "0B": 0, "1B": 1, "64MiB": 64 << 20, "64 MiB": 64 << 20, "1GB": 1e9, "7KB": 7000, "1TiB": 1 << 40, "8388607TiB": 8388607 << 40,
	} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", text, got, err, want)
		}
		var again Size
		if err := again.UnmarshalText([]byte(got.String())); err != nil || again != got {
			t.Errorf("%s is written as %s, which is read as %d, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"", "64", "MiB", "-1MiB", "1.5MiB", "64mib", "8388608TiB", "1 e3B", "99999999999999999999B", "0x1B"} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is read as %d", text, got)
		}
	}
}
