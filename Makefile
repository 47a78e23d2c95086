# Two commands from nothing:  make demo   and   make test
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: demo test test-aot lint clean

$(VENV)/installed: pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'cfd2gray needs Python 3.11 or newer; try make PYTHON=python3.11')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[test]'
	touch $@

demo: $(VENV)/installed
	$(BIN)/cfd2gray demo --workdir demo

test: $(VENV)/installed
	$(BIN)/python -m pytest -n $(WORKERS) tests

# The TPU compiler is 0.7 GB and would be found by every `import jax`, so it has an environment of its own.
test-aot: pyproject.toml
	test -d $(VENV)-aot || $(PYTHON) -m venv $(VENV)-aot
	$(VENV)-aot/bin/python -m pip install --quiet -e '.[test,tpu-aot]'
	$(VENV)-aot/bin/python -m pytest tests/launch/test_aot.py

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pyright --pythonpath $(BIN)/python

clean:
	rm -rf $(VENV) $(VENV)-aot build *.egg-info
