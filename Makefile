# make setup | doctor | train | test | ui | export | serve | space | check | bench      (everything sets up what it needs)
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := $(CURDIR)/.venv
export VIRTUAL_ENV := $(VENV)
export PATH := $(VENV)/bin:$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
TASK ?= mnist

.DEFAULT_GOAL := help
.PHONY: help setup doctor train test ui export serve space check bench

help:  ## list the commands
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/'

setup: .venv/ready  ## make .venv, install the packages, link MLflow's environment to it
	@test -f "$$(cat .venv/ready)" || python -m experiments.environment > .venv/ready

doctor: setup  ## whether this machine and checkout are well, and what mends them
	python -m experiments.doctor

.venv/ready: requirements.txt python_env.yaml experiments/environment.py
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	python -m experiments.environment > $@.partial
	mv $@.partial $@

.venv/ready-to-test: .venv/ready tests/requirements.txt
	python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	touch $@

train: setup  ## train and register a model: make train, or make train TASK=gate
	mlflow run . -e train -P task=$(TASK)

test: setup .venv/ready-to-test  ## run all tests
	OMP_NUM_THREADS=1 python -m pytest --numprocesses auto --maxprocesses 4 --dist loadgroup

check: setup .venv/ready-to-test  ## formatting, lint, types
	ruff format --check .
	ruff check .
	mypy

ui: setup  ## MLflow's pages on http://127.0.0.1:5000
	mlflow ui

export: setup  ## the champion to model.onnx, or gate.onnx: make export, or make export TASK=gate
	python export/to_onnx.py --task $(TASK)

serve: setup  ## the Gradio page on http://127.0.0.1:7860
	python serve/app.py

space: setup  ## a folder that runs as a Hugging Face Space: space/
	python -m export.space

bench: setup  ## measure everything that takes minutes, and write it into the README
	python -m benchmarks.bench
