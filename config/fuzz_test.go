package config

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/tenancy"
)

// FuzzLoad feeds any file and any variable: the answer is a configuration whose keys can be indexed, or a list
// of faults that each say something. References are cut out, so that no file of this machine is read.
func FuzzLoad(f *testing.F) {
	example, err := os.ReadFile(examplePath)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(example), "SERVER__DRAIN", "10s")
	f.Add(settingsFile, "MODELS__M__TARGETS__0", "{provider: y}")
	for _, tt := range faultCases {
		f.Add(tt.file, "MODELS__GPT_4O__TARGETS__0__PROVIDER", "x")
	}
	f.Add("a: &a [*a]\nserver: *a", "SERVER__CORS__ORIGINS__0", "&a [*a]")
	f.Fuzz(func(t *testing.T, file, name, value string) {
		file, value = strings.ReplaceAll(file, "file:", "env:"), strings.ReplaceAll(value, "file:", "env:")
		c, err := parse("vel.yaml", []byte(file), newEnvironment([]string{prefix + name + "=" + value, "OPENAI_API_KEY=o"}))
		if err == nil {
			if _, err := tenancy.NewKeyIndex(c.Tenancy.Keys()); err != nil {
				t.Errorf("keys that passed can not be indexed: %v", err)
			}
			return
		}
		var faults Faults
		if !errors.As(err, &faults) || len(faults) == 0 {
			t.Fatalf("error is no list of faults: %v", err)
		}
		for _, fault := range faults {
			if fault.Problem == "" || fault.Hint == "" {
				t.Errorf("a fault without problem or hint: %+v", fault)
			}
			if fault.File == "" && fault.Env == "" {
				t.Errorf("a fault from nowhere: %+v", fault)
			}
		}
	})
}
