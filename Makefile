# Two commands from nothing:  make demo   and   make test
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: demo test test-aot test-newest test-cluster constraints docs lint clean

$(VENV)/installed: pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'cfd2gray needs Python 3.11 or newer; try make PYTHON=python3.11')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[test]'
	touch $@

demo: $(VENV)/installed
	$(BIN)/cfd2gray demo --workdir demo

test: $(VENV)/installed
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal tests

# The TPU compiler is 0.7 GB and would be found by every `import jax`, so it has an environment of its own, which takes all else
# from the first.
test-aot: $(VENV)/installed
	test -d $(VENV)-aot || $(BIN)/python -m venv $(VENV)-aot
	$(BIN)/python -c "import sysconfig; print(f'import site; site.addsitedir({sysconfig.get_path(\"purelib\")!r})')" > $(VENV)-aot/installed.pth
	mv $(VENV)-aot/installed.pth $$(echo $(VENV)-aot/lib/python*/site-packages)
	$(VENV)-aot/bin/python -m pip install --quiet 'jax[tpu]'
	$(VENV)-aot/bin/python -m pytest tests/launch/test_aot.py

# The newest JAX that there is, on a newer Python: what containers and Colab have. For a schedule: it takes as long as half of `test`.
NEWEST ?= python3.13
test-newest: pyproject.toml
	test -d $(VENV)-newest || $(NEWEST) -m venv $(VENV)-newest
	$(VENV)-newest/bin/python -m pip install --quiet uv # pip tries old releases of everything for half an hour
	$(VENV)-newest/bin/uv pip install --quiet --python $(VENV)-newest/bin/python --upgrade -e '.[test]'
	$(VENV)-newest/bin/python -m pytest -n $(WORKERS) tests/configs tests/cfd2gray/models tests/cfd2gray/metrics \
	  tests/cfd2gray/losses tests/cfd2gray/training

# A pod of four processes that are killed, a bucket that loses a write, and a SLURM cluster of one node (Debian: slurm-wlm, munge).
test-cluster: $(VENV)/installed
	CFD2GRAY_CLUSTER=1 $(BIN)/python -m pytest tests/launch/test_pod.py tests/launch/test_slurm.py

# What the images install.
constraints: $(VENV)/installed
	$(BIN)/python -m pip install --quiet uv
	(head -1 launch/constraints.txt; $(BIN)/uv pip compile pyproject.toml --upgrade --quiet --no-header --no-annotate \
	  --extra cuda13 --extra tpu --extra gcs --extra s3 --extra tensorboard --no-emit-index-url \
	  --python-version 3.12 --python-platform x86_64-manylinux_2_34) > constraints.new
	mv constraints.new launch/constraints.txt

# A site of the pages in docs/, in site/.
docs: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pyright --pythonpath $(BIN)/python

clean:
	rm -rf $(VENV) $(VENV)-aot $(VENV)-newest build site *.egg-info
