# make demo      set up and run the main job on handwritten digits, ending with a report
# make test      set up and run every test and check (under 6 minutes on 2 cores)
# make test-all  the same with the slow ones: browser, several processes, Spark (needs Java)
# make bench     speed and memory beside reference implementations
# make format    let ruff format and fix

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
SPARK  := $(VENV)/.spark
OUT    ?= out/demo

# One thread per process: with more, tiny tensor operations wait for each other.
export OMP_NUM_THREADS ?= 1
export MPLBACKEND      ?= Agg
# Tests start many programs: compile the package once, not in each of them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-all lint bench format clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "amodal needs Python 3.11 or newer; found " + sys.version.split()[0] + "; set PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,bench]'
	touch $(READY)

$(SPARK): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[spark]'
	touch $(SPARK)

demo: $(READY)
	$(BIN)/amodal study builtin:digits --methods aum,aum:aggregation=paper,concat,mean,attention,forest,logistic,pattern --absent 0,0.3,0.5,0.7 --mechanism mcar --seeds 1 --jobs 2 --out $(OUT)
	$(BIN)/amodal report $(OUT)

lint: $(READY)
	$(BIN)/ruff check src tests benchmarks examples studies
	$(BIN)/ruff format --check src tests benchmarks examples studies

test: $(READY) lint
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow and not browser and not processes" --durations=30 --durations-min=2

test-all: $(READY) $(SPARK) lint
	$(BIN)/python -m pytest -n 2 --dist loadgroup

bench: $(READY)
	$(BIN)/python benchmarks/fusion.py
	$(BIN)/python benchmarks/clinical_step.py
	$(BIN)/python benchmarks/overhead.py

format: $(READY)
	$(BIN)/ruff check --fix src tests benchmarks examples studies
	$(BIN)/ruff format src tests benchmarks examples studies

clean:
	rm -rf $(VENV) build dist out .pytest_cache .ruff_cache
