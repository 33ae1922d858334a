# Included by the Makefile at the root. BENCH holds flags, such as BENCH="-dry -rounds 2"; `make bench BENCH=-help` lists them.
.PHONY: bench
bench: ## Compare Vel's cost with nginx's and add the result to tests/bench/RESULTS.md
	cd tests/bench && go run . $(BENCH)
