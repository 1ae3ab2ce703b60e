# `make demo` and `make test` work on a fresh machine with Python 3.11 to 3.13; each installs what it needs into .venv.
PYTHON ?= python3
BIN := .venv/bin
DATA_DIR ?= phantoms
ifndef RUN_DIR
RUN_DIR := runs/demo-$(shell date +%Y%m%d-%H%M%S)
endif
BACKENDS := tensorflow jax torch

.PHONY: demo docs lint test test-slow clean

# Phantoms (or DATA_DIR=...) -> train -> evaluate -> export. No download of weights or data.
demo: .venv/installed
	@test "$(DATA_DIR)" != phantoms -o -e phantoms || $(BIN)/mamsf-keras phantom --out "$(DATA_DIR)" --images 2600 --size 96 --tail 5
	$(BIN)/mamsf-keras train --data-dir "$(DATA_DIR)" --preset demo --run-dir $(RUN_DIR)
	$(BIN)/mamsf-keras evaluate --run-dir $(RUN_DIR)
	$(BIN)/mamsf-keras export --run-dir $(RUN_DIR) --out saved_models/demo
	@echo "data: $(DATA_DIR)   run: $(RUN_DIR)   models: saved_models/demo"

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The suite on each backend; MAMSF_NIH_DIR=... adds the tests on real images.
test: lint
	@for backend in $(BACKENDS); do \
		echo "== $$backend"; \
		KERAS_BACKEND=$$backend $(BIN)/python -m pytest -q -n 2 -m "not slow" || exit 1; \
	done

# The documentation, into build/site; a broken link or reference fails.
docs: .venv/installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build
	@echo "docs: build/site/index.html"

test-slow: .venv/installed-dev
	@for backend in $(BACKENDS); do \
		echo "== $$backend, slow"; \
		KERAS_BACKEND=$$backend $(BIN)/python -m pytest -q -m slow || exit 1; \
	done

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit( \
		'Error: $(PYTHON) is Python %d.%d, and 3.11 to 3.13 is needed: name one with PYTHON=python3.12' % v)"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[dev,dicom,docs,jax,mlflow,onnx,serving,torch]"
	touch $@

clean:
	rm -rf .venv build *.egg-info
