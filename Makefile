PYTHON ?= python3
SERVE := .venv
TEST := .venv-test
TRAIN := .venv-train
LOAD := .venv-load
DEPLOY := .venv-deploy
SBOM = dist/loyal.cdx.json

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help serve test test-serving test-training test-deploy test-images lint format types check load results bench bench-encode bench-peers bench-overload bench-long bench-trunks bench-startup soak dashboard lock audit sbom constraints clean

help: ## Show this list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

serve: $(SERVE)/.ready ## Start the service on LOYAL_HOST:LOYAL_PORT (127.0.0.1:8000) with the models of model_store/.
	@exec $(SERVE)/bin/python -m app serve

test: test-serving test-training test-deploy ## Run all tests; TORCH_INDEX may name the package index to take torch from.

test-serving: $(TEST)/.ready ## Run the tests of the service, in an environment without torch.
	$(TEST)/bin/python -m pytest tests/app tests/contract tests/e2e tests/test_*.py

test-training: $(TRAIN)/.ready ## Run the tests of training, in an environment with torch.
	$(TRAIN)/bin/python -m pytest tests/training

test-deploy: $(DEPLOY)/.ready ## Carry out the image's recipe in a Debian root and by podman, compose it, and let Prometheus watch a service; skips what the machine has not.
	$(DEPLOY)/bin/python -m pytest tests/deploy

test-images: $(DEPLOY)/.ready ## Build the images of gigabytes too, by podman, and start them; 10 minutes.
	$(DEPLOY)/bin/python -m pytest tests/deploy -m images --capture=no

lint: $(TEST)/.ready ## Check style and formatting, changing nothing.
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .

format: $(TEST)/.ready ## Fix what can be fixed by machine.
	$(TEST)/bin/ruff check --fix --exit-zero .
	$(TEST)/bin/ruff format .

types: $(TEST)/.ready ## Check the types: app/ strictly, training/ where annotated.
	$(TEST)/bin/mypy

check: test lint types audit sbom ## Run everything that must pass before a merge.

load: $(LOAD)/.ready ## Load teacher and students of every task in turn and write loadtests/RESULTS.md; 3 minutes a task.
	$(LOAD)/bin/python -m loadtests.compare

results: $(LOAD)/.ready ## Measure all of loadtests/RESULTS.md anew but bench-peers and bench-trunks, one after the other; an hour on quiet cores.
	for target in load bench bench-encode bench-overload bench-long soak bench-startup; do $(MAKE) $$target || exit 1; done

bench: $(LOAD)/.ready ## Time every model of the store in process, without HTTP, and write loadtests/RESULTS.md; 10 s a model.
	$(LOAD)/bin/python -m loadtests.bench_store

bench-encode: $(LOAD)/.ready ## Time hashed words against subwords and write loadtests/RESULTS.md.
	$(LOAD)/bin/python -m loadtests.bench_encode

bench-peers: $(LOAD)/.ready ## Put the same model behind other servers (installed in .venv-peers/) and write loadtests/RESULTS.md; 15 minutes.
	$(LOAD)/bin/python -m loadtests.bench_peers

bench-overload: $(LOAD)/.ready ## Send up to 4 times what the service can answer and write loadtests/RESULTS.md; 6 minutes.
	$(LOAD)/bin/python -m loadtests.bench_overload

soak: $(LOAD)/.ready ## Ask all models of the store for 10 minutes and write loadtests/RESULTS.md.
	$(LOAD)/bin/python -m loadtests.soak

bench-startup: $(LOAD)/.ready ## Time the start of the service, weigh it, and write loadtests/RESULTS.md; 2 minutes.
	$(LOAD)/bin/python -m loadtests.bench_startup

bench-trunks: $(LOAD)/.ready ## Weigh and time packages that share a trunk, and write loadtests/RESULTS.md.
	$(LOAD)/bin/python -m loadtests.bench_trunks

bench-long: $(LOAD)/.ready ## Time short requests beside one of 100,000 characters, and write loadtests/RESULTS.md; 3 minutes.
	$(LOAD)/bin/python -m loadtests.bench_long_requests

dashboard: $(DEPLOY)/.ready ## Draw docker/grafana/dashboard.png from a loaded service; needs prometheus; 2 minutes.
	$(DEPLOY)/bin/python -m loadtests.dashboard

lock: $(DEPLOY)/.ready ## Write docker/*.lock, the hashes of all that the images of the service install, from pyproject.toml and constraints.txt.
	$(LOCK) docker/build.in --output-file docker/build.lock
	$(LOCK) pyproject.toml --extra cpu --output-file docker/serve.lock
	$(LOCK) pyproject.toml --extra gpu --output-file docker/serve-gpu.lock

audit: $(DEPLOY)/.ready ## Look for known vulnerabilities in what the images of the service install; without network it says so.
	$(DEPLOY)/bin/python docker/audit.py

sbom: $(DEPLOY)/.ready ## Write dist/loyal.cdx.json, the bill of materials (CycloneDX) of the CPU image's packages.
	mkdir -p $(dir $(SBOM))
	$(DEPLOY)/bin/cyclonedx-py requirements docker/serve.lock --pyproject pyproject.toml --output-reproducible --output-file $(SBOM)

constraints: $(SERVE)/.ready $(TEST)/.ready $(TRAIN)/.ready $(LOAD)/.ready $(DEPLOY)/.ready ## Pin what the environments hold in constraints.txt.
	grep '^#' constraints.txt > constraints.tmp
	for env in $(SERVE) $(TEST) $(TRAIN) $(LOAD) $(DEPLOY); do $$env/bin/python -m pip freeze --exclude-editable; done \
		| sed 's/+.*//' | sort -uf >> constraints.tmp
	mv constraints.tmp constraints.txt

clean: ## Remove the environments and every cache.
	rm -rf $(SERVE) $(TEST) $(TRAIN) $(LOAD) $(DEPLOY) .venv-peers loyal.egg-info build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find app training tests loadtests -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment is complete when its stamp exists; an interrupted install leaves none.
define new_environment
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12 ..." >&2; exit 1; }
$(PYTHON) -m venv $(@D)
$(@D)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
endef
LOCK = $(DEPLOY)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--constraint constraints.txt --no-annotate --no-header
INSTALL = $(@D)/bin/python -m pip install --quiet --constraint constraints.txt

$(SERVE)/.ready: pyproject.toml constraints.txt
	$(new_environment)
	$(INSTALL) --editable '.[cpu]'
	@touch $@

$(TEST)/.ready: pyproject.toml constraints.txt
	$(new_environment)
	$(INSTALL) --editable '.[cpu,openvino]' --group dev
	@touch $@

$(TRAIN)/.ready: pyproject.toml constraints.txt
	$(new_environment)
# From TORCH_INDEX torch alone, so that no other package can come from there.
	$(if $(TORCH_INDEX),$(INSTALL) --no-deps --index-url '$(TORCH_INDEX)' torch)
	$(INSTALL) --editable '.[train]' --group test-training
	@touch $@

$(LOAD)/.ready: pyproject.toml constraints.txt
	$(new_environment)
	$(INSTALL) --editable '.[cpu]' --group load
	@touch $@

$(DEPLOY)/.ready: pyproject.toml constraints.txt
	$(new_environment)
	$(INSTALL) --editable '.[cpu]' --group deploy
	@touch $@
