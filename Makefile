# make demo    set up, execute notebooks/01_quickstart.ipynb, leave demo_output/
# make test    set up, static checks, every test            make lint   the static checks alone
# make lab     set up, open the quickstart in JupyterLab    make wheel  dist/bigmodel_lab-*.whl
# make clean   remove what these made
#
# All share one environment, .venv, made when missing and used again when current. A different
# Python: `make demo PYTHON=python3.12`. PyTorch without CUDA, where pip knows no CPU wheel by itself:
# `make demo PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu`.

PYTHON ?= python3
PYTEST ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip --no-input --disable-pip-version-check install --progress-bar off -c constraints.txt
STEP := bash .ci/step
NOTEBOOK := notebooks/01_quickstart.ipynb

# What an installed environment depends on: when one of these changes, pip runs again.
ASSETS := $(shell find labextension \( -name node_modules -o -name tests \) -prune -o -type f -print)
CURRENT := pyproject.toml constraints.txt hatch_build.py $(ASSETS)
KERNEL := ipykernel nbclient nbconvert

.DELETE_ON_ERROR:
.PHONY: demo test lab wheel lint clean chromium help

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

demo: .venv/.ready-demo
	@$(BIN)/bigmodel-lab demo

lab: .venv/.ready-lab
	@$(BIN)/jupyter lab $(NOTEBOOK)

test: .venv/.ready-test chromium lint
	@BIGMODEL_LAB_CHROMIUM="$$(tail -n 1 .make/chromium.log)" BIGMODEL_LAB_RUNS="$(CURDIR)/.make/runs" $(BIN)/python -m pytest \
	  -n 2 --dist loadfile --no-loadscope-reorder \
	  --doctest-modules --nbval-lax --nbval-current-env --nbval-cell-timeout=300 \
	  bigmodel_lab hatch_build.py tests notebooks $(PYTEST)

lint: .venv/.ready-test
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --quiet --check . && $(BIN)/mypy --no-error-summary
	@echo "Static checks passed: ruff check, ruff format, mypy."

wheel: .venv/.ready-venv
	@$(STEP) wheel "Building the wheel (10 s; 1 min where the browser part is bundled first)" \
	  $(BIN)/python -m pip --no-input --disable-pip-version-check wheel --no-deps --wheel-dir dist .
	@ls -l dist/*.whl

chromium: .venv/.ready-test
	@$(STEP) chromium "Looking for a Chromium for the browser tests (1 s; 2 min where it must be installed)" bash .ci/chromium

clean:
	rm -rf .venv .make dist build demo_output bigmodel_lab/static labextension/node_modules

# The stamps lie in .venv, so that they go with it; each is written as the last act of its step.
.venv/.ready-venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "Python 3.10 or newer is needed, and $(PYTHON) is not that: make ... PYTHON=/path/to/python3.12"; exit 1; }
	@$(STEP) venv "Making the environment .venv (10 s)" $(PYTHON) -m venv .venv
	@touch $@

.venv/.ready-demo: .venv/.ready-venv $(CURRENT)
	@$(STEP) install-demo "Installing PyTorch and the library (2 min; some seconds where only little changed)" \
	  $(PIP) -e '.[train]' $(KERNEL)
	@touch $@

.venv/.ready-lab: .venv/.ready-venv $(CURRENT)
	@$(STEP) install-lab "Installing PyTorch, JupyterLab and the library (2 min; some seconds where only little changed)" \
	  $(PIP) -e '.[train,lab,subjects]' $(KERNEL)
	@touch $@ .venv/.ready-demo

.venv/.ready-test: .venv/.ready-venv $(CURRENT)
	@$(STEP) install-test "Installing PyTorch, the library and what its tests need (4 min; some seconds where only little changed)" \
	  $(PIP) -e '.[train,lab,export,test]' $(KERNEL)
	@touch $@ .venv/.ready-demo .venv/.ready-lab
