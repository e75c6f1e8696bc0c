# Two commands do everything on a fresh machine: `make demo` and `make test`.
# Both start from Python >= 3.11 and make; they install into .venv of this folder.

# The first of these that runs and is new enough (a shim may exist and not run).
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers

.PHONY: demo test test-slurm test-ray docs published lists all-methods peers peers-table bench mutation check format clean

demo: $(VENV)/installed
	$(BIN)/ltbench run --methods ce,balanced-softmax,logit-adjustment,ride,sade --protocol digits-lt
	$(BIN)/ltbench report

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n auto --dist loadfile

# The tests that need a SLURM which runs (`sinfo` answers); where there is none, Debian's packages are
# installed if that is allowed, and the tests say why they were skipped. LTBENCH_TEST_SLURM_HIGH names a
# partition that preempts the default one.
test-slurm: $(VENV)/installed-test
	@command -v sbatch >/dev/null || { command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] \
		&& apt-get update -qq -o Acquire::Retries=0 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq slurm-wlm munge; } \
		|| echo "SLURM could not be installed"
	$(BIN)/python -m pytest -ra tests/engines/test_real_slurm.py

# The tests of trials on Ray, which is installed for them: 260 MB.
test-ray: $(VENV)/installed-ray
	$(BIN)/python -m pytest -ra tests/engines/test_ray.py

# The site of docs/, into site/; a warning is an error. Nothing is fetched while it is built.
docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "open site/index.html, or: $(BIN)/python -m http.server -d site (with search)"

# The whole report of the published records; of what it writes only the page and its pictures are kept.
published: $(VENV)/installed
	$(BIN)/ltbench report --results results/published --readme results/published/README.md

# The list of methods in README.md, from the methods.
lists: $(VENV)/installed
	$(BIN)/python docs/gen/families.py

# Every method there is on the embedded data set, and the table that shows that they work.
all-methods: $(VENV)/installed
	$(BIN)/ltbench run --methods all --protocol digits-lt --seeds 1 --results results/all-methods
	$(BIN)/python -m benchmarks.all_methods results/all-methods --output results/published/all-methods

# Against other libraries, pinned in an environment of their own; the table is docs/peers.md.
peers: $(PEERS)/installed
	$(PEERS)/bin/python -m pytest tests/peers

peers-table: $(PEERS)/installed
	$(PEERS)/bin/python -m pytest tests/peers --write-table

# Ours and the published procedure, timed in turn; DATA=FOLDER takes the real CIFAR-100.
bench: $(VENV)/installed
	$(BIN)/python -m benchmarks $(if $(DATA),--data-dir $(DATA)) --output results/bench.json

# Small faults put into a copy of the code that makes numbers, and whether a test notices: a piece of
# LIMIT seconds; the same again goes on. Score and survivors stand at the end; RECORD=1 writes the record.
LIMIT ?= 540
mutation: $(VENV)/installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.mutation --limit $(LIMIT) $(if $(RECORD),--record)

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "ltbench needs Python 3.11 or newer; name one: make PYTHON=/path/to/python ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-test: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

$(VENV)/installed-ray: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[test,ray]'
	touch $@

$(VENV)/installed-dev: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

$(VENV)/installed-docs: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

$(PEERS)/installed: $(BIN)/python pyproject.toml tests/peers/requirements.txt
	$(BIN)/python -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --editable . --requirement tests/peers/requirements.txt
	touch $@

clean:
	rm -rf $(VENV) $(PEERS) site build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
