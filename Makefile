# Two commands on a fresh machine: `make demo` and `make test`. Both set everything up first.

PYTHON ?= python3
VENV   ?= .venv
# More arguments for pip, such as --index-url of a wheel index with CPU-only torch.
PIP_ARGS ?=
# A folder with a DICOM CT series of your own: DEMO_INPUT=folder make demo
DEMO_INPUT ?=
# Which series of that folder, when it holds several: its Series Instance UID.
DEMO_SERIES ?=
# A folder with DICOM files for the archive of the stack: make stack INPUT=folder
INPUT ?=
TEST_ARGS  ?=
# Test files run side by side in so many processes; 0: in one, for a debugger.
TEST_WORKERS ?= 2
BENCH_ARGS ?=
# Where `make gpu-train` makes its phantoms, how many, and keys of its configuration that are to be others.
GPU_STORE ?= runs/gpu
GPU_CASES ?= 500
GPU_SET ?=
# Which ablation: config/train/ablation_gpu.yaml on a large GPU.
PLAN ?= config/train/ablation.yaml

BIN   := $(VENV)/bin
STAMP := $(VENV)/.set-up
# What makes and audits lists of parts has an environment of its own, so that it is no part of what it lists.
AUDIT := build/audit
DEBIAN_PACKAGES := orthanc orthanc-dicomweb orthanc-python nginx-light postgresql dcmtk dicom3tools chromium

# Nagle's algorithm against delayed acknowledgement costs DCMTK and Orthanc 46 ms an image.
export TCP_NODELAY := 1

.DEFAULT_GOAL := help
.PHONY: gpu gpu-train help set-up packages viewer demo stack test coverage lint reasons docs sbom audit bench ablation table1 image image-cuda clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

set-up: $(STAMP)  ## Make the virtual environment with the pinned versions

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 …" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "$(PYTHON) cannot make virtual environments (Debian: apt-get install python3-venv)" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e '.[train,dev]'
	@touch $@

packages:  ## Install the Debian packages that the tests talk to (as root; else says which)
	@missing=$$(for name in $(DEBIAN_PACKAGES); do \
	    dpkg-query -W -f='$${Status}' $$name 2>/dev/null | grep -q 'ok installed' || echo $$name; done); \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then \
	    echo "Not Debian: tests that need" $$missing "are skipped." >&2; \
	elif [ "$$(id -u)" -eq 0 ]; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	else \
	    echo "Tests that need them are skipped until you run: sudo apt-get install" $$missing >&2; \
	fi

viewer: $(STAMP)  ## Download the viewer that stack and tests use, OHIF, from npm (50 MB; else says why not)
	@$(BIN)/python -m dicom_node.demo.stack.ohif || echo "Tests that need it are skipped." >&2

demo: $(STAMP)  ## Start the node, send it a series over DICOM, show the derived series
	$(BIN)/s2ldm-node demo $(if $(DEMO_INPUT),--input '$(DEMO_INPUT)') $(if $(DEMO_SERIES),--series '$(DEMO_SERIES)')

stack: $(STAMP) packages  ## Start Orthanc, the node and OHIF, store a series in Orthanc and see what becomes of it, until Ctrl-C
	@$(BIN)/python -m dicom_node.demo.stack $(if $(INPUT),'$(INPUT)')

test: $(STAMP) packages viewer  ## Run every test
	@$(BIN)/python -m compileall -q dicom_node s2ldm_core train tests  # once, and not in every process that a test starts
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder $(TEST_ARGS)  # threads of several workers wait for each other

coverage: $(STAMP) packages viewer  ## Run every test and print how much of each package they reach
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder --cov=dicom_node --cov=s2ldm_core --cov=train --cov-report=term:skip-covered $(TEST_ARGS)

lint: $(STAMP)  ## Check style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

reasons: $(STAMP)  ## Write docs/reasons.md, every reason code, and docs/conformance.md from the source
	$(BIN)/python docs/reasons.py
	$(BIN)/python docs/conformance.py

docs: $(STAMP)  ## Make docs/ one site, with a reference from the docstrings: build/docs/site/index.html
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e '.[docs]'
	rm -rf build/docs && mkdir -p build/docs/source
	git ls-files -- '*.md' '*.png' '*.jpg' '*.csv' '*.yaml' 'docs/*.py' | xargs cp --parents -t build/docs/source
	$(BIN)/zensical build --strict

sbom: $(STAMP) $(AUDIT)/.set-up  ## List every package of the virtual environment, with version and licence, as CycloneDX: build/sbom.cdx.json
	$(AUDIT)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file build/sbom.cdx.json $(BIN)/python

audit: $(AUDIT)/.set-up  ## Ask PyPI for known vulnerabilities of the pinned versions (fails where it cannot be asked)
	$(AUDIT)/bin/pip-audit --strict --no-deps --disable-pip --progress-spinner off --requirement constraints.txt

$(AUDIT)/.set-up: constraints.txt
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt cyclonedx-bom pip-audit
	@touch $@

bench: $(STAMP) packages  ## Measure translation, receiving, turnaround and the console, peers beside us
	$(BIN)/python -m bench.translate $(BENCH_ARGS)
	$(BIN)/python -m bench.ingest $(BENCH_ARGS)
	$(BIN)/python -m bench.turnaround $(BENCH_ARGS)
	$(BIN)/python -m bench.console $(BENCH_ARGS)

gpu: $(STAMP)  ## Compare a GPU's answers with the processors', and measure it (BENCH_ARGS="--device cpu": rehearse)
	$(BIN)/python -m bench.device $(BENCH_ARGS)

gpu-train: $(STAMP)  ## Make 500 phantoms on all cores and train config/train/s2ldm_gpu.yaml on them for 25 minutes of one GPU (resumes)
	$(BIN)/s2ldm-train phantom $(GPU_STORE) --count $(GPU_CASES) --workers $(shell nproc)
	$(BIN)/s2ldm-train fit config/train/s2ldm_gpu.yaml --set data.store=$(GPU_STORE) $(foreach change,$(GPU_SET),--set $(change))

ablation: $(STAMP)  ## Train and compare the paper's ablation, the readings, an L1 U-Net and our default (hours; resumes)
	$(BIN)/s2ldm-train ablate $(PLAN) --output docs/results/$(basename $(notdir $(PLAN)))

table1: $(STAMP)  ## Train and compare every system as in Table 1 of the paper (two hours; resumes); PAIRS=STORE: on real pairs, too
	$(BIN)/s2ldm-train table1 config/train/table1.yaml --output docs/results/table1 $(if $(PAIRS),--pairs '$(PAIRS)' --split train)

image:  ## Build the slim CPU image (BUILD_ARGS="--build-arg TORCH_INDEX_URL=…" for CPU-only torch)
	docker build --target cpu --tag s2ldm-node:cpu $(BUILD_ARGS) .

image-cuda:  ## Build the CUDA image
	docker build --target cuda --tag s2ldm-node:cuda $(BUILD_ARGS) .

clean:  ## Remove everything that was built, the virtual environment too
	rm -rf $(VENV) build dist demo demo.png .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
