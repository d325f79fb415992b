# Every target sets up what it needs: a virtual environment in .venv, at the versions of constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
GREETING := sudoku-9x9 53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79
BOARD := .3...2.1...4....
CHECKPOINT := runs/quickstart/checkpoints/last.ckpt

.DEFAULT_GOAL := help
.PHONY: help install demo test test-fast lint format bench bench-gpu scaling halting equality kills memory zoo study tables notebooks clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/installed ## Make .venv with the trm command: 370 MB to download for a CPU, gigabytes with CUDA

.venv/installed: pyproject.toml constraints.txt
	@echo "Installing trm and 98 packages into .venv: 370 MB to download for a CPU; gigabytes more where pip picks CUDA."
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: install ## Solve with a model of the zoo; then train on 4x4 Sudoku for a minute, test on unseen boards, solve one
	$(BIN)/trm solve $(GREETING)
	$(BIN)/trm fit --config configs/quickstart.yaml
	$(BIN)/trm test --config configs/quickstart.yaml
	$(BIN)/trm solve runs/quickstart/checkpoints/last.ckpt $(BOARD)

test: install ## Run all tests, in two processes of one thread each
	$(BIN)/pytest -n 2

test-fast: install ## Run the tests that are not marked slow, while working on something
	$(BIN)/pytest -n 2 -m "not slow"

lint: install ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install ## Put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

equality: install ## Compare every number with the official code's and write benchmarks/equality.md
	$(BIN)/python benchmarks/equality.py

bench: install ## Measure training, solving and reading data on this CPU (4 minutes)
	$(BIN)/python benchmarks/bench.py

bench-gpu: install ## Measure the paper's configurations on this GPU, eager and compiled (10 minutes)
	$(BIN)/python benchmarks/bench.py --gpu

scaling: install ## Estimate the paper's runs on 1 to 64 H100s, on paper
	$(BIN)/python benchmarks/scaling.py

kills: install ## Kill a run 60 times at random moments and see that nothing is lost (10 minutes)
	$(BIN)/python benchmarks/kills.py

memory: install ## Measure the peak memory of a training step, with and without gradient checkpointing (10 minutes)
	$(BIN)/python benchmarks/memory.py

tables: install ## Write the README's tables from results/ledger.csv, and check the numbers in its text by results/quotes.csv
	$(BIN)/python benchmarks/readme.py
	$(BIN)/python benchmarks/quotes.py

halting: install ## Measure the speed of each halting rule on a checkpoint: make halting CHECKPOINT=FILE
	$(BIN)/python benchmarks/halting.py $(CHECKPOINT) 256

zoo: install ## Put a trained model into the zoo: make zoo NAME=sudoku-4x4 CHECKPOINT=FILE; without NAME write all cards
	$(BIN)/python benchmarks/zoo.py $(if $(NAME),$(NAME) $(CHECKPOINT) $(OPTIONS))

study: install ## Compare training recipes at equal cost, for hours; make study SUDOKU=FOLDER takes real 9x9 boards
	$(BIN)/python benchmarks/study.py $(if $(SUDOKU),--sudoku $(SUDOKU))

notebooks: install ## Run the notebooks again, from scratch and at full size (15 minutes)
	rm -rf notebooks/runs
	$(BIN)/jupyter execute --inplace notebooks/*.ipynb

clean: ## Delete the environment and caches; data and runs stay
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache
