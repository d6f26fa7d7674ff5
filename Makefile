# make run   sets up a virtual environment and starts SmartAlex on embedded defaults
# make test  sets up and passes every test
# make lint  ruff and mypy
# make compiled: the media path in C, in place, for half the CPU; make clean undoes it
# make bench what the hot paths cost, and how well the receptionist understands
# make help  says the same

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
BENCHES ?= sip_parse sip_call media_cost records_cost receptionist_accuracy
BIN := $(VENV)/bin

.PHONY: run test lint bench help clean peers compiled
.DEFAULT_GOAL := help

help:
	@sed -n '/^# /!q;s///p' Makefile

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "SmartAlex needs Python 3.11 or newer; say: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); etc/setup/debian.sh python3-venv && $(PYTHON) -m venv $(VENV); }

# Compatible editable mode: the default one hides twisted/plugins from Twisted.
$(VENV)/.installed: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable . --config-settings editable_mode=compat
	@touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test,dev]' --config-settings editable_mode=compat
	@touch $@

peers:
	@etc/setup/debian.sh sip-tester baresip tshark kamailio linphone-cli postgresql redis-server bind9-dnsutils

run: $(VENV)/.installed
	@$(BIN)/smartalex run $(ARGS)

test: $(VENV)/.tested peers
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

lint: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

compiled: $(VENV)/.installed
	@etc/setup/debian.sh gcc python3-dev
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[compiled]' --config-settings editable_mode=compat
	$(BIN)/python etc/compile.py

bench: $(VENV)/.tested
	@for bench in $(BENCHES); do echo "== $$bench"; $(BIN)/python -m tests.bench.$$bench || exit 1; done

clean:
	@$(PYTHON) etc/compile.py --remove
	rm -rf $(VENV) build *.egg-info
