# Included by the Makefile at the root. BENCH, LOAD and ROUTING hold flags, such as BENCH="-dry -rounds 2"; `make bench BENCH=-help` lists them.
.PHONY: bench load soak
bench: ## Compare Vel's cost with nginx's and add the result to tests/bench/RESULTS.md
	cd tests/bench && go run . $(BENCH)

load: load-control load-tasks ## Measure the API and tasks under many users, and add the results to tests/bench/RESULTS.md

.PHONY: load-control
load-control: ## Measure what keys in a database and the API cost, and add the result to tests/bench/RESULTS.md
	cd tests/bench && go run . control $(LOAD)

STAGE ?= 60s
.PHONY: load-tasks
load-tasks: ## Let up to 1,000 users make and follow tasks, each stage for STAGE (60s), and add what they saw to tests/bench/RESULTS.md
	seen=$$(mktemp) && trap 'rm -f "$$seen"' EXIT && \
		printf 'Users who each make a task, look at it, follow its answer, look again and rest for a second; stages of $(STAGE). Bars at P95: create 500 ms, status 200 ms, stream opens 1000 ms.\n' >"$$seen" && \
		(cd tests && go test -count 1 -timeout 0 -v -run TestTaskLoad ./nodes -task-load $(STAGE) -report "$$seen") && \
		cd tests/bench && go run . note -what tasks <"$$seen"

.PHONY: bench-routing
bench-routing: ## Compare routing with one provider alone on the reference mix, and add the result to tests/bench/RESULTS.md; fails when a bar is missed
	cd tests/bench && go run . routing $(ROUTING)

HEDGED ?= 2000
.PHONY: bench-hedge
bench-hedge: ## Compare HEDGED (2000) streams with and without a hedge while a target stalls in 5 % of its calls, and add the result to tests/bench/RESULTS.md; fails when a bar is missed
	seen=$$(mktemp) && trap 'rm -f "$$seen"' EXIT && \
		(cd tests && go test -count 1 -timeout 0 -run TestHedgeAgainstStalls . -hedge-calls $(HEDGED) -hedge-report "$$seen") && \
		cd tests/bench && go run . note -what hedge <"$$seen"

.PHONY: bench-hit
bench-hit: ## Compare what a hit of the cache costs with a plain refusal
	go test -run '^$$' -bench BenchmarkHit -benchtime 2s -count 3 ./gateway

SOAK ?= 10m
soak: ## Take the database away again and again for SOAK (10m), and add what was seen to tests/bench/RESULTS.md
	seen=$$(mktemp) && trap 'rm -f "$$seen"' EXIT && \
		(cd tests && go test -count 1 -timeout 0 -run TestOutage ./nodes -soak $(SOAK) -report "$$seen") && \
		cd tests/bench && go run . note -what outages <"$$seen"

RECORDS ?= 10000000
.PHONY: soak-records
soak-records: ## Ask both engines about RECORDS (10000000) calls of thirty days, on the disk of TMPDIR (/var/tmp): how long the slowest twentieth takes
	TMPDIR=$${TMPDIR:-/var/tmp} SOAK_RECORDS=$(RECORDS) go test -run '^$$' -bench BenchmarkRecords -benchtime 100x -timeout 0 -v ./storage

AWAY ?= 10m
.PHONY: soak-records-away
soak-records-away: ## Let calls be recorded while the database is away for AWAY (10m), and add what they took to tests/bench/RESULTS.md
	seen=$$(mktemp) && trap 'rm -f "$$seen"' EXIT && \
		(cd tests && go test -count 1 -timeout 0 -run TestRecordsWhileTheDatabaseIsAway ./nodes -away $(AWAY) -report "$$seen") && \
		cd tests/bench && go run . note -what records-away <"$$seen"

KILLS ?= 100
.PHONY: soak-kills
soak-kills: ## Kill a Vel KILLS (100) times while it records calls, and add what was found to tests/bench/RESULTS.md
	seen=$$(mktemp) && trap 'rm -f "$$seen"' EXIT && \
		(cd tests && go test -count 1 -timeout 0 -run TestKilledWhileCallsAreRecorded ./nodes -kills $(KILLS) -report "$$seen") && \
		cd tests/bench && go run . note -what kills <"$$seen"

RACING  ?= 12800
AFFORDS ?= 1000
.PHONY: soak-limits
soak-limits: ## Let RACING (12800) calls race for a budget of AFFORDS (1000) on three nodes, and clients leave for a minute while one is killed
	cd tests && go test -count 1 -timeout 0 -v -run 'TestBudgetOf' -parallel 1 ./nodes -racing $(RACING) -affords $(AFFORDS) -abort 60s

LIMITED ?= 2000
.PHONY: bench-limits
bench-limits: ## Compare LIMITED (2000) calls a second that limits in Redis count with as many that nothing counts, and add the result to tests/bench/RESULTS.md
	seen=$$(mktemp) && trap 'rm -f "$$seen"' EXIT && \
		(cd tests && go test -count 1 -timeout 0 -v -run TestWhatLimitsInRedisCost ./nodes -limited $(LIMITED) -limited-turn 5s -report "$$seen") && \
		cd tests/bench && go run . note -what limits <"$$seen"

ITEMS ?= 50000
.PHONY: soak-tasks
soak-tasks: ## Kill nodes while 2,000 tasks are made and followed, and while a batch of ITEMS (50000) runs, measure calls beside one, and add what was found to tests/bench/RESULTS.md
	seen=$$(mktemp) && trap 'rm -f "$$seen"' EXIT && \
		printf 'Nodes are killed, in turns, four times; calls of the data plane beside a batch of 100,000 items, one node on Postgres.\n\n| batch | items | sent in s | items/s | kills | calls made again | resident MiB |\n|---|---|---|---|---|---|---|\n' >"$$seen" && \
		(cd tests && go test -count 1 -timeout 0 -v -run 'TestTasksSurviveKills|TestBatchSurvivesKills|TestCallsBesideABatch' -parallel 1 ./nodes -tasks 2000 -items $(ITEMS) -beside 30s -report "$$seen") && \
		cd tests/bench && go run . note -what tasks-killed <"$$seen"
