# Two commands do everything on a fresh machine: `make demo` and `make test`.
# Both start from Python >= 3.11 and make; they install into .venv of this folder.

# The first of these that runs and is new enough (a shim may exist and not run).
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
OLDEST := .venv-oldest
NEWEST := .venv-newest

# Whole files, the longest first, as tests/seconds.txt has them.
FILES := --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-quick test-accuracy test-slurm test-ray test-oldest test-newest storm fuzz mutation docs \
	published lists all-methods peers peers-table bench check format clean

demo: $(VENV)/installed
	$(BIN)/ltbench run --methods ce,balanced-softmax,logit-adjustment,ride,sade --protocol digits-lt
	$(BIN)/ltbench report

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n auto $(FILES)

# While something is changed: without the files that tests/seconds.txt names, and it says which.
test-quick: $(VENV)/installed-test
	$(BIN)/python -m pytest -n auto $(FILES) --quick

# Every method trained on the digits, and the accuracy that it must reach.
test-accuracy: $(VENV)/installed-test
	$(BIN)/python -m pytest tests/accuracy

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

# The quick tests with the oldest supported version of every dependency, pyproject.toml's lower bounds, and
# with the newest released ones, whatever this machine's own constraints hold back. Old packages warn of
# new ones: warnings are shown, not errors.
test-oldest: $(OLDEST)/installed
	$(OLDEST)/bin/python -m pytest -n auto $(FILES) -o filterwarnings=default --quick

test-newest: $(NEWEST)/installed
	$(NEWEST)/bin/python -m pytest -n auto $(FILES) -o filterwarnings=default --quick

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

# 200 kills at random moments, the same command after each, and the same bits; in pieces of nine minutes:
# the same command goes on.
storm: $(VENV)/installed
	$(BIN)/python -m benchmarks.storm --kills 200 --seconds 540 --output results/published/reliability/storm.json

# Ours and the published procedure, timed in turn; DATA=FOLDER takes the real CIFAR-100.
bench: $(VENV)/installed
	$(BIN)/python -m benchmarks $(if $(DATA),--data-dir $(DATA)) --output results/bench.json

# Damaged files of every kind, with other damage in each run; each finding is printed with its example.
SECONDS ?= 600
fuzz: $(VENV)/installed-test
	$(BIN)/python -m tests.fuzz $(SECONDS)

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

$(OLDEST)/installed: $(BIN)/python pyproject.toml
	$(BIN)/python -m venv $(OLDEST)
	$(BIN)/python tests/lower_bounds.py > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/python -m pip install --quiet --editable '.[test]' --constraint $(OLDEST)/constraints.txt
	touch $@

$(NEWEST)/installed: $(BIN)/python pyproject.toml
	$(BIN)/python -m venv $(NEWEST)
	PIP_CONSTRAINT=/dev/null $(NEWEST)/bin/python -m pip install --quiet --upgrade --editable '.[test]'
	touch $@

$(PEERS)/installed: $(BIN)/python pyproject.toml tests/peers/requirements.txt
	$(BIN)/python -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --editable . --requirement tests/peers/requirements.txt
	touch $@

clean:
	rm -rf $(VENV) $(PEERS) $(OLDEST) $(NEWEST) site build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
