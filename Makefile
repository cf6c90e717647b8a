# The four commands: demo, test, check, bench. Each sets up what it needs first.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3

.PHONY: demo test check bench setup lock lock-peers clean

demo: setup
	$(BIN)/rackwright demo

# Two workers: one drives the machines, the other has the tests that mostly wait.
test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python -m bench --write-docs $(BENCH)

setup: system $(VENV)/.installed

.PHONY: system
system:
	@setup/system

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Rackwright needs Python 3.11 or newer; set PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# Writes the lock anew: hashes, and no index lines.
lock: setup
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links --python-version 3.11 \
	  --group dev pyproject.toml -o requirements.lock

# The same for each peer of `make bench`: a group and a lock of its own.
PEERS := ansible-core dagster dbos ironic luigi parallel-ssh prefect pyinfra temporalio
lock-peers: setup
	for peer in $(PEERS); do \
	  $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
	    --no-emit-index-url --no-emit-find-links --python-version 3.11 \
	    --group peer-$$peer pyproject.toml -o bench/peers/locks/$$peer.lock || exit 1; \
	done

clean:
	rm -rf $(VENV) var dist
