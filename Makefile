# Every target sets up what it needs: a virtual environment in .venv, at the versions of constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
GREETING := sudoku-9x9 ......6....4...28....7.1.......82....9.......37......1...9..4.3..2.........6.....
BOARD := .3...2.1...4....
MODELS := $(patsubst trm/zoo/%.ckpt,%,$(wildcard trm/zoo/*.ckpt))
QUESTIONS := $(patsubst benchmarks/%/measure.py,%,$(wildcard benchmarks/*/measure.py))

SECONDS ?= 3600

.DEFAULT_GOAL := help
.PHONY: help install demo page test test-fast fuzz lint format docs notebooks tables clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  questions: $(QUESTIONS)" | fold -sw 110

install: .venv/installed ## Make .venv with the trm command: 400 MB to download for a CPU, gigabytes with CUDA

.venv/installed: pyproject.toml constraints.txt
	@echo "Installing trm and what it needs into .venv: 400 MB to download for a CPU, gigabytes more where pip picks CUDA."
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: install ## Solve with a model of the zoo; then train on 4x4 Sudoku for half a minute, test on unseen boards, solve one
	$(BIN)/trm solve $(GREETING)
	$(BIN)/trm fit --config configs/quickstart.yaml
	$(BIN)/trm test --config configs/quickstart.yaml
	$(BIN)/trm solve runs/quickstart/checkpoints/last.ckpt $(BOARD)

test: install ## Run all tests, in two processes of one thread each
	$(BIN)/pytest -n 2 --dist worksteal

test-fast: install ## Run the tests that are not marked slow, while working on something
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow"

page: install ## Write the browser page of every model of the zoo to build/page: ten minutes, and 33 MB to download once
	for name in $(MODELS); do $(BIN)/trm page $$name -o build/page/$$name --force || exit 1; done
	@echo "open them: $(BIN)/python -m http.server --directory build/page"

fuzz: install ## Try the readers of checkpoints, puzzles and configurations on other hostile input for SECONDS (an hour)
	end=$$(( $$(date +%s) + $(SECONDS) )); while [ $$(date +%s) -lt $$end ]; do TRM_FUZZ=1 $(BIN)/pytest -x tests/fuzz || exit 1; done

lint: install ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install ## Put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: install ## Build the site of docs/ in build/site, without a warning
	$(BIN)/mkdocs build --strict

notebooks: install ## Run the notebooks again, from scratch and at full size (15 minutes)
	rm -rf notebooks/runs
	$(BIN)/jupyter execute --inplace notebooks/*.ipynb

tables: install ## Fill the tables of README.md, docs and benchmarks from the committed results
	$(BIN)/python benchmarks/fill_tables.py

bench-%: install ## Measure a question of benchmarks anew: make bench-QUESTION, with options in ARGS='--help'
	$(BIN)/python benchmarks/$*/measure.py $(ARGS)

clean: ## Delete the environment and caches; data and runs stay
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache
