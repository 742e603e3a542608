# make demo: the main job on real data; make test: the tests. Both set up .venv, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
NEWEST := $(VENV)-newest/bin
# SCIPY_ARRAY_API lets scikit-learn's array API check run
PYTEST = SCIPY_ARRAY_API=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

.PHONY: demo test test-newest newest lint docs bench clean

demo: $(INSTALLED)
	$(BIN)/python examples/ngc1068_retrieval.py

test: $(INSTALLED)
	$(PYTEST) --cov --cov-report=term

# the same with the newest versions: make test-newest PYTHON=python3.12
test-newest:
	test -x $(NEWEST)/python || $(PYTHON) -m venv $(VENV)-newest
	$(NEWEST)/python -m pip install -c constraints-newest.txt -e ".[test,arviz]"
	$(subst $(BIN),$(NEWEST),$(PYTEST))

# what the newest versions are now
newest:
	test -x $(NEWEST)/python || $(PYTHON) -m venv $(VENV)-newest
	$(NEWEST)/python -m pip install --upgrade --upgrade-strategy eager -e ".[test,arviz]"
	$(NEWEST)/python -m pip freeze --exclude-editable > constraints-newest.txt

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

docs: $(INSTALLED)
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[docs]"
	$(BIN)/python -m sphinx -W -b html docs docs/_build/html

bench: $(INSTALLED)
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[bench]"
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt -e ".[test]"
	touch $(INSTALLED)

clean:
	rm -rf $(VENV) $(VENV)-newest demo docs/_build docs/auto_examples docs/generated
