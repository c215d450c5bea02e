# make setup | doctor | train | test | test-all | ui | export | serve | space | check | bench      (everything sets up what it needs)
ifeq ($(origin PYTHON),undefined)  # before .venv is on the PATH; pyenv's shims may not run
PYTHON := $(shell for name in python3.11 python3.12 python3.13 python3; do \
	$$name -c "" 2> /dev/null && command -v $$name && break; done)
endif
VENV := $(CURDIR)/.venv
export VIRTUAL_ENV := $(VENV)
export PATH := $(VENV)/bin:$(PATH)
TASK ?= mnist
PYTEST = OMP_NUM_THREADS=1 python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help setup setup-to-test doctor train test test-slow test-all ui export serve space check bench

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/'

setup:  ## make .venv, install the packages, link MLflow's environment to it
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 6))' 2> /dev/null || { \
		echo "Error: PYTHON: expected Python 3.11 or newer; found '$(PYTHON)', which is not there" \
		"or older than 3.6. Install one, and name it if make does not find it:" \
		"make setup PYTHON=python3.11 [python-missing]" >&2; exit 2; }
	@"$(PYTHON)" -I experiments/core/setup_venv.py
	@$(MAKE) -q .venv/ready || $(MAKE) --no-print-directory .venv/ready
	@test -f "$$(cat .venv/ready)" || python -m experiments.core.mlflow_env > .venv/ready
	@python -m experiments.tracking.store

doctor: setup  ## whether this machine and checkout are well, and what mends them
	python -m experiments.doctor

SETUP = $(addprefix experiments/core/,mlflow_env.py process_env.py store_address.py)
.venv/ready: requirements.txt python_env.yaml $(SETUP)
	@echo "Installing torch, MLflow, Optuna, ONNX and Gradio into .venv: minutes, and 6.4 GB with the" \
		"GPU build of torch, which pip takes on Linux."
	python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	python -m experiments.core.mlflow_env > $@.partial
	mv $@.partial $@

setup-to-test: setup
	@$(MAKE) -q .venv/ready-to-test || $(MAKE) --no-print-directory .venv/ready-to-test

.venv/ready-to-test: .venv/ready tests/requirements.txt
	python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	touch $@

train: setup  ## train and register a model: make train, or make train TASK=gate
	mlflow run . -e train -P task=$(TASK)

test: setup-to-test  ## the tests that run in process: minutes
	$(PYTEST) -m "not slow and not browser"

test-slow: setup-to-test  ## the rest: whole processes, servers, a browser
	$(PYTEST) -m "slow or browser"

test-all: setup-to-test  ## every test there is
	$(PYTEST)

check: setup-to-test  ## formatting, lint, types
	ruff format --check .
	ruff check .
	mypy
	lint-imports --no-cache

ui: setup  ## MLflow's pages on http://127.0.0.1:5000
	mlflow ui

export: setup  ## the champion to model.onnx, or gate.onnx: make export, or make export TASK=gate
	python export/to_onnx.py --task $(TASK)

serve: setup  ## the Gradio page on http://127.0.0.1:7860
	python serve/app.py

space: setup  ## a folder that runs as a Hugging Face Space: space/
	python -m export.space

bench: setup-to-test  ## the benchmarks that take minutes, and the README's tables
	python -m benchmarks.recipes --task gate
	python -m benchmarks.gates
	python -m benchmarks.race
	python -m benchmarks.summary
	python -m benchmarks.load
	python -m benchmarks.report
