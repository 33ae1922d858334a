# What a person and CI run here. `make` alone prints the list.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

GOLANGCI  := v2.15.0
LINTER    := $(CURDIR)/bin/golangci-lint-$(GOLANGCI)
FUZZTIME  ?= 10s

# Vel is one module; what only tests, compares or calls it is another, so that its dependencies stay out.
MODULES := . tests tests/bench tests/sdk/go
each    = for module in $(MODULES); do (cd $$module && $(1)) || exit 1; done
config  = -c $(CURDIR)/.golangci.yml

include tests/bench/bench.mk

.PHONY: help run build test check fmt lint vuln fuzz packages unit outside

help: ## print this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## build and start Vel on 127.0.0.1:8080; needs only Go
	@exec bin/vel serve

# schedtrace in the runtime's defaults keeps its monitor thread from a deep sleep out of which every event wakes it: a
# third of what a stream's event costs (docs/decisions/2026-11-22-data-plane-costs.md). It prints nothing for 24 days.
BUILD := -trimpath -ldflags=-X=runtime.godebugDefault=schedtrace=2147483647
OUT   := bin/vel

build: ## build bin/vel, one static binary
	@CGO_ENABLED=0 go build $(BUILD) -o $(OUT) ./cmd/vel

test: packages lint unit ## everything that CI runs (installs what is missing; at most 15 minutes on two cores)
	@$(MAKE) --no-print-directory outside
	@tests/vulncheck.sh

check: test ## the same as test

fmt: $(LINTER) ## format the code
	@$(LINTER) fmt $(config) ./...

lint: $(LINTER) ## formatting, vet, linters, and a build for macOS
	@echo "== lint"
	@$(call each,go vet ./...)
	@$(call each,$(LINTER) run $(config) ./...)
	@GOOS=darwin CGO_ENABLED=0 go build ./...

# In test it says at the very end if it could not look; here that is a failure.
vuln: ## look for known vulnerabilities in what Vel calls; GOVULNDB names a mirror of the database
	@VULNCHECK=required tests/vulncheck.sh

# What fuzzing finds by chance must not fail somebody else's change: it has a target of its own. What it has found is
# committed, and runs with the unit tests.
fuzz: ## fuzz every parser, FUZZTIME (10s) each
	@echo "== fuzz, $(FUZZTIME) a target"
	@grep -rn --include='*_test.go' --exclude-dir=tests '^func Fuzz' . | \
		sed -E 's|^(.*)/[^/]+:[0-9]+:func (Fuzz[A-Za-z0-9_]*).*|\1 \2|' | sort -u | \
		while read -r dir name; do \
			go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$dir"; \
		done

# The race detector watches our code. SQLite (C made Go), the hashing of passwords and the description of the API are slow
# under it beyond reason and are other people's: they are built without.
UNWATCHED := modernc.org/... golang.org/x/crypto/... github.com/danielgtaylor/huma/...

unit:
	@echo "== the rooms, under the race detector"
	@go test -race $(UNWATCHED:%=-gcflags=%=-race=false) ./...

outside:
	@echo "== the binary from outside: SDKs, faults, bad input, storms"
	@cd tests/bench && go test ./...
	@cd tests && go test -p 1 -timeout 20m ./...

packages:
	@tests/packages.sh

$(LINTER):
	@echo "== building golangci-lint $(GOLANGCI), once"
	@mkdir -p $(@D)
	@GOBIN=$(@D) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI)
	@mv $(@D)/golangci-lint $@
