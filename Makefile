# Two commands for a fresh machine: `make demo` and `make test`. PYTHON=python3.13 picks another.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# a file of tests stays with one worker: what it trains once is trained once
WORKERS := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test check unit lint docs audit clean

demo: $(VENV)/installed
	$(BIN)/fractaljax scan configs/paper/tanh.yaml --only demo --out outputs/demo
	@echo "The picture: outputs/demo/image.png   With axes: outputs/demo/figure.png"

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest $(WORKERS) $(PYTEST)

# what one runs before every commit
check: $(VENV)/installed-dev
	@$(MAKE) --no-print-directory --output-sync -j 2 lint unit

# of the laws one part a role; whole sheets of curves, and every config, are left to `make test`
unit: $(VENV)/installed-dev
	$(BIN)/python -m pytest -q $(WORKERS) -m "not slow and not long and not child" \
	  $(addprefix --ignore tests/,benchmarks cluster explorer faults oracles test_golden_stores.py) \
	  $(addprefix --ignore tests/view/test_,curves.py transfer_figures.py) \
	  $(addprefix --deselect tests/laws/test_laws.py::test_,parts every_axis metrics comparisons) \
	  --deselect tests/test_config.py::test_every

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(VENV)/installed-dev
	$(BIN)/python -m sphinx -W --keep-going -n -q docs docs/_build/html
	@echo "The documentation: docs/_build/html/index.html"

audit: $(VENV)/installed-dev
	$(BIN)/python -m pip check
	$(BIN)/python .ci/audit.py

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; $(PYTHON) is older. Try: make demo PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,video,bigimage,explore,digits,notebook,colormaps,search,cluster,docs]'
	touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV)
