# Everything that you or CI do here is one of these targets.
PYTHON ?= python3
BIN := .venv/bin
# Two torch processes that spin on shared cores slow each other down sixfold, so everything started from here waits passively.
export OMP_WAIT_POLICY ?= PASSIVE
# If it is set, each process that imports torch compiles all of it again: 8.9 s of CPU instead of 3.5 s, on a busy core.
unexport PYTHONDONTWRITEBYTECODE
# Number of test processes. Each uses one thread.
WORKERS ?= 2
GPUS ?= 2

.PHONY: help setup demo up down test e2e check format manifests lock bench bench-tasks bench-faults images base-image release clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make the Python environment in .venv (the other targets do this first; it is instant once done)
	@$(PYTHON) local/bootstrap.py

demo: setup ## run jobs of two projects through every state, on a cluster of their own (DATASET=folder, REPORT=file)
	@$(BIN)/python -m headrace_local demo $(if $(DATASET),--dataset "$(DATASET)") $(if $(REPORT),--report "$(REPORT)")

up: setup ## start the same cluster and leave it running: .local/kubeconfig, .local/env, .local/bin/kubectl (GPUS=2)
	@$(BIN)/python -m headrace_local up --gpus $(GPUS)

down: setup ## stop that cluster and leave nothing behind
	@$(BIN)/python -m headrace_local down

test: setup ## run every test that does not need a container runtime (TESTS=path, ARGS="-k word")
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS) $(TESTS)

# Check the requirements before building the images, which takes minutes.
e2e: setup e2e-requirements images ## test the whole product on a real kubelet, from its images and its chart (needs root and Debian's packages, or E2E_KUBECONFIG=…)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(ARGS) $(or $(TESTS),tests/e2e)

.PHONY: e2e-requirements
e2e-requirements: setup
	@PYTHONPATH=tests/support $(BIN)/python -m headrace_e2e.requirements

check: setup ## check lint, types, import rules, and that generated files are up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	@$(MAKE) --no-print-directory manifests
	@git diff --exit-code -- crds docs charts || { echo "generated files were out of date; they have been regenerated: commit them"; exit 1; }

format: setup ## format the code
	$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

manifests: setup ## write the generated files: from headrace_api, the programs' metrics and settings, the dashboards' source, the chart's values
	@mkdir -p .cache
	$(BIN)/python -m headrace_api.crd > .cache/crd.yaml && mv .cache/crd.yaml crds/headrace.dev_trainingjobs.yaml
	$(BIN)/python -m headrace_chart.user_roles > .cache/user_roles.yaml && mv .cache/user_roles.yaml crds/headrace.dev_user_roles.yaml
	$(BIN)/python -m headrace_api.reference > .cache/reference.md && mv .cache/reference.md docs/reference.md
	$(BIN)/python -m headrace_release.licences > .cache/licences.md && mv .cache/licences.md docs/licences.md
	$(BIN)/python -m headrace_dashboards metrics > .cache/metrics.md && mv .cache/metrics.md docs/metrics.md
	$(BIN)/python -m headrace_dashboards write charts/headrace/dashboards
	$(BIN)/python -m headrace_chart charts/headrace

lock: setup ## resolve requirements.lock again from pyproject.toml
	PATH="$$PATH:$(CURDIR)/.cache/uv/bin" uv pip compile pyproject.toml --extra operator --extra trainer --extra local --extra dev --extra release --universal --generate-hashes \
	  --no-header --no-emit-index-url --quiet --output-file requirements.lock

bench: setup ## run the benchmarks, against peers where there are any: prints tables, writes JSON to .cache/bench
	@mkdir -p .cache/bench
	@set -e; for bench in $(filter-out tests/bench/bench_faults.py,$(wildcard tests/bench/bench_*.py)); do \
	  echo "== $$bench"; PYTHONPATH=tests/support$(if $(PYTHONPATH),:$(PYTHONPATH)) $(BIN)/python $$bench --json .cache/bench/$$(basename $$bench .py).json; \
	done

bench-tasks: setup ## show what every task learns: trains those without a result (minutes each), writes docs/results.md (ARGS="--list", "--only 'digits/*'", --again, --picture)
	PYTHONPATH=tests/bench:tests/support$(if $(PYTHONPATH),:$(PYTHONPATH)) $(BIN)/python -m tasks $(ARGS)

bench-faults: setup ## let everything go wrong around a trainer, and check what must hold nevertheless; 40 minutes (SEED=1 ROUNDS=200, ARGS="--only 17", "--stops 50")
	PYTHONPATH=tests/bench:tests/support$(if $(PYTHONPATH),:$(PYTHONPATH)) $(BIN)/python tests/bench/bench_faults.py --seed $(or $(SEED),1) --rounds $(or $(ROUNDS),200) $(ARGS)

images: setup ## build the operator's and the trainer's image (ENGINE=docker|podman|buildah, BASE=, BUILDER=, REPOSITORY=, TAG=, ONLY=)
	@$(BIN)/python -m headrace_release images $(if $(ENGINE),--engine "$(ENGINE)") $(if $(BASE),--base "$(BASE)") \
	  $(if $(BUILDER),--builder "$(BUILDER)") $(if $(REPOSITORY),--repository "$(REPOSITORY)") $(if $(TAG),--tag "$(TAG)") $(if $(ONLY),--only "$(ONLY)")

base-image: setup ## build a base for them from Debian packages, if you cannot reach a registry (MIRROR=, RENEW=1)
	@$(BIN)/python -m headrace_release base-image $(if $(RENEW),--renew) $(if $(ENGINE),--engine "$(ENGINE)") $(if $(MIRROR),--mirror "$(MIRROR)")

release: setup ## make a release: on the first run set its version, on the second build everything that ships (VERSION=1.2.3, and as for images)
	@$(if $(VERSION),:,echo "error: VERSION is not set. hint: make release VERSION=1.2.3" >&2; exit 1)
	@$(BIN)/python -m headrace_release ship "$(VERSION)" $(if $(ENGINE),--engine "$(ENGINE)") $(if $(BASE),--base "$(BASE)") \
	  $(if $(BUILDER),--builder "$(BUILDER)") $(if $(REPOSITORY),--repository "$(REPOSITORY)")

clean: ## remove everything set up in this folder (the caches in ~/.cache stay)
	rm -rf .venv .cache .hypothesis
