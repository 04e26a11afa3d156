# make demo      installs into .venv and runs the main job on the embedded data: search, training, test, report, ONNX
# make test      installs what the tests need; lints, checks types, runs the tests
# make slow      the tests that take minutes as well
# make test-oldest  installs the oldest declared versions of all packages into .venv-oldest; runs the demo and the tests there
# make docs      builds the documentation into site/, without network; warnings and broken links are errors
# make mutants  puts small faults into a copy, one by one, and tells which of them the tests notice

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-oldest slow mutants lint types docs clean

demo: .venv/demo
	$(BIN)/python -m nasarch demo

test: .venv/dev lint types
	$(BIN)/python -m pytest -n 2

test-oldest:
	test -x .venv-oldest/bin/uv || $(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet uv
	.venv-oldest/bin/uv pip install --quiet --python .venv-oldest/bin/python --resolution lowest-direct --editable ".[dev]"
	.venv-oldest/bin/python -m nasarch demo
	.venv-oldest/bin/python -m pytest -n 2

slow: .venv/dev
	$(BIN)/python -m pytest -n 2 -m "slow or not slow"

docs: .venv/docs
	rm -rf site
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs site
	$(BIN)/python -m nasarch gallery -o site/gallery
	$(BIN)/python docs/check.py site

mutants: .venv/dev
	$(BIN)/python -m tests.mutants

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy follows no editable install of mapped folders, so it sees the package as users do; setuptools keeps modules that are gone in build/
types: .venv/dev
	rm -rf build
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target build/types .
	MYPYPATH=build/types $(BIN)/mypy -p nasarch

.venv/dev: EXTRAS := [dev]
.venv/docs: EXTRAS := [docs]
.venv/demo .venv/dev .venv/docs: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".$(EXTRAS)"
	touch $@

clean:
	rm -rf .venv .venv-oldest build site docs/reference/commands
