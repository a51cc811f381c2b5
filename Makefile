# Everything happens in .venv. PYTHON=python3.12 make ... chooses another interpreter (3.10 or later).
PYTHON ?= python3
# Tests run in so many processes of a gigabyte and one thread each.
WORKERS ?= 2
BIN := .venv/bin
.DEFAULT_GOAL := help

.PHONY: help install demo test test-slow lint format benchmarks clean

help:
	@echo "make install   set up .venv with the privsynth command"
	@echo "make demo      set up, then fit, sample and report on simulated card transactions"
	@echo "make test      set up, then run the tests"
	@echo "make test-slow the statistical tests that take minutes"
	@echo "make lint      ruff and mypy"
	@echo "make benchmarks  the tables of benchmarks/results (some five hours)"

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test,dev]'
	touch $@

demo: .venv/installed
	$(BIN)/privsynth demo --output demo_output

test: .venv/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n $(WORKERS)

test-slow: .venv/installed-dev
	$(BIN)/python -m pytest -m slow
	$(BIN)/python -m pytest -m "hypothesis and not slow" --hypothesis-profile explore

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmarks: .venv/installed-dev
	$(BIN)/python benchmarks/adult_cardio.py
	$(BIN)/python benchmarks/ablation_generator.py
	$(BIN)/python benchmarks/ablation_shares.py
	$(BIN)/python benchmarks/ablation_partitions.py
	$(BIN)/python benchmarks/ablation_groups.py
	$(BIN)/python benchmarks/ablation_cells.py
	$(BIN)/python benchmarks/ablation_n_cells.py
	$(BIN)/python benchmarks/ablation_weights.py
	$(BIN)/python benchmarks/ablation_leaves.py
	$(BIN)/python benchmarks/ablation_ends.py
	$(BIN)/python benchmarks/ablation_looks.py
	$(BIN)/python benchmarks/ablation_shrinkage.py
	$(BIN)/python benchmarks/ablation_balance.py
	$(BIN)/python benchmarks/ablation_steps.py
	$(BIN)/python benchmarks/ablation_strong.py
	$(BIN)/python benchmarks/ablation_defaults.py
	$(BIN)/python benchmarks/decomposition.py
	$(BIN)/python benchmarks/rare_class_limits.py
	$(BIN)/python benchmarks/sampling.py
	$(BIN)/python benchmarks/cross_silo.py
	$(BIN)/python benchmarks/warm_start.py
	$(BIN)/python benchmarks/conditions.py
	$(BIN)/python benchmarks/interpolation.py
	$(BIN)/python benchmarks/scoring.py
	$(BIN)/python benchmarks/cost.py
	$(BIN)/python benchmarks/class_sizes.py
	$(BIN)/python benchmarks/stroke.py
	$(BIN)/python benchmarks/evaluate.py
	$(BIN)/python benchmarks/high_cardinality.py
	$(BIN)/python benchmarks/mutated_bundles.py
	$(BIN)/python benchmarks/augment.py
	$(BIN)/python benchmarks/augment_report.py
	$(BIN)/python benchmarks/dp_step_time.py
	$(BIN)/python benchmarks/step_time.py
	$(BIN)/python benchmarks/ledger_crashes.py
	$(BIN)/python benchmarks/audit.py
	$(BIN)/python benchmarks/messy_cases.py --only privsynth
	$(BIN)/python benchmarks/peers.py --only privsynth independent real --again
	$(BIN)/python benchmarks/privacy_faults.py
	$(BIN)/python benchmarks/accounting_grid.py

clean:
	rm -rf .venv build dist *.egg-info demo_output
