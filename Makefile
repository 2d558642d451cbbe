# Every target that runs something first installs the package into .venv, where that is missing or out of date.
#   make train ARGS="train.epochs=2"     make test ARGS="-k loss -x"     make venv PYTHON=/usr/bin/python3.12

.DEFAULT_GOAL := help
.PHONY: help venv train test ui lint format bench clean distclean

VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed

# The first interpreter that is new enough and can make an environment. Tried by running it: a name on the PATH
# may be a launcher for a version that is not there.
USABLE := import sys, ensurepip, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for candidate in python3 python3.13 python3.12 python3.11 python3.10 python; do \
	"$$candidate" -c '$(USABLE)' 2>/dev/null && echo "$$candidate" && break; done)

# Two makes at once: where the system has flock, the second waits for the first one's installation.
LOCK := $(if $(shell command -v flock),flock Makefile)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

venv: ## install the package and its development tools into .venv
	@$(LOCK) $(MAKE) --silent --no-print-directory $(STAMP)

# The stamp is written last, so the next make takes up an installation that was interrupted.
$(STAMP): pyproject.toml constraints.txt
	test -n "$(PYTHON)" || { \
		echo "make: needs Python 3.10 to 3.13 with its venv module; name one: make PYTHON=/path/to/python" >&2; exit 1; }
	$(RUN) -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear $(VENV)
	$(RUN) -m pip install --constraint constraints.txt --editable '.[dev]'
	touch $@

train: venv ## train on the embedded motion, 5 minutes; ARGS="train.epochs=2" changes the configuration
	$(RUN) tools/train.py configs/ugcn.yaml $(ARGS)

test: venv ## run the tests, a process per core; ARGS="-k loss" selects some, ARGS="-n 0 --pdb" takes one process
	$(RUN) -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile $(ARGS)

ui: venv ## open MLflow on the runs
	$(RUN) -m gcnpose.cli ui $(ARGS)

lint: venv ## check style and types
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy gcnpose tools

format: venv ## write the code in the style that lint checks
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

bench: venv ## time the training step against the same network written the usual way
	$(RUN) tools/benchmark.py step $(ARGS)

clean: ## remove caches and build products; runs and .venv stay
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find gcnpose tests tools -name __pycache__ -prune -exec rm -rf {} +

distclean: clean ## remove .venv too
	rm -rf $(VENV)
