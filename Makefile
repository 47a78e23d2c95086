# Two commands from nothing:  make demo   and   make test
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: demo test lint clean

$(VENV)/installed: pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'cfd2gray needs Python 3.11 or newer; try make PYTHON=python3.11')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[test]'
	touch $@

# The TPU compiler is 0.7 GB and only the tests of ahead-of-time compilation want it.
$(VENV)/tpu-aot: $(VENV)/installed
	$(BIN)/python -m pip install --quiet -e '.[test,tpu-aot]'
	touch $@

demo: $(VENV)/installed
	$(BIN)/cfd2gray demo --workdir demo

test: $(VENV)/tpu-aot
	$(BIN)/python -m pytest -n $(WORKERS) tests

lint: $(VENV)/installed
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) build *.egg-info
