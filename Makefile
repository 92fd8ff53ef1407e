# `make demo` and `make test` do everything on a machine with python3 (3.11 or newer), venv and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install demo paper paper-quick methods-quick test test-file test-slow test-cluster test-browser test-latex test-gguf test-vllm test-site site check real-data real real-quick bench clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

# Installed once for each set of declarations: the stamp is newer than what it was made from.
$(VENV)/.installed-%: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV), which takes a few minutes the first time ..."
	@for try in 1 2 3; do \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$*]' 2>$(VENV)/pip.log && break; \
	  echo "installing failed (try $$try of 3):"; grep -v '^WARNING: Location' $(VENV)/pip.log | tail -5; \
	  [ $$try = 3 ] && exit 1; sleep 10; done
	@touch $@

install: $(VENV)/.installed-test ## create .venv and install the package in it

demo: install ## sweep alpha and region size over the toy world, and name the best cell
	$(BIN)/surgery experiment=demo

# Each table is a sweep of its own name; what two of them share is measured once.
TABLES := 1 2 3 4 5 6 7 8 9 10 11 12 13 15 16 17
FIGURES := 2 3 4
paper: install ## the paper's tables and figures on the toy world, and which of its claims hold there
	for table in $(TABLES); do $(BIN)/surgery experiment=paper/table$$table sweep=table$$table || exit 1; done
	for figure in $(FIGURES); do $(BIN)/surgery experiment=paper/figure$$figure sweep=figure$$figure || exit 1; done
	for table in $(TABLES); do $(BIN)/sweeps paper table$$table table$$table || exit 1; done
	for figure in $(FIGURES); do $(BIN)/sweeps paper figure$$figure figure$$figure && $(BIN)/sweeps report figure$$figure || exit 1; done

QUICK := quick=true tracking=none
paper-quick: install ## some rows of every table and figure on 40 prompts each, to see that they run
	$(BIN)/surgery experiment=paper/table9 $(QUICK) sweep=quick-table9 variant=ours,random_probe,random_region,without_quarter_3
	$(BIN)/surgery experiment=paper/table10 $(QUICK) sweep=quick-table10 alpha=-2.777778,1.388889,2.777778
	$(BIN)/surgery experiment=paper/table11 $(QUICK) sweep=quick-table11 region.component=gate_proj,up_proj
	$(BIN)/surgery experiment=paper/table2 $(QUICK) sweep=quick-table2 method=surgery,lora
	for table in 3 5; do $(BIN)/surgery experiment=paper/table$$table $(QUICK) sweep=quick-table$$table method=surgery || exit 1; done
	for table in 1 4 6 7 8 12 15 17; do $(BIN)/surgery experiment=paper/table$$table $(QUICK) sweep=quick-table$$table || exit 1; done
	for table in $(filter-out 13 16,$(TABLES)); do $(BIN)/sweeps paper table$$table quick-table$$table || exit 1; done
	$(BIN)/sweeps paper table13 quick-table2
	$(BIN)/sweeps paper table16 quick-table15
	$(BIN)/sweeps paper figure2 quick-table17
	$(BIN)/sweeps paper figure3 quick-table9
	$(BIN)/sweeps paper figure4 quick-table2

methods-quick: install ## a few methods at an equal price, two cells each on 40 prompts: table, figure, LaTeX
	$(BIN)/surgery experiment=methods $(QUICK) sweep=quick-methods method=surgery,directional_ablation,caa hydra.sweeper.n_trials=2
	$(BIN)/sweeps methods quick-methods --markdown --csv outputs/quick-methods/methods.csv --latex outputs/quick-methods/methods.tex

test: install ## run the tests
	@# Two tests at a time, a core each: more threads would only wait for each other.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not real_data and not slow and not cluster and not browser and not latex and not gguf and not vllm and not site"

test-file: ## run one test file: make test-file FILE=tests/surgery/test_region.py
	@test -n "$(FILE)" || { echo "say which: make test-file FILE=tests/surgery/test_region.py"; exit 1; }
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -x $(FILE)

test-slow: install ## run the tests that take minutes: sweeps killed again and again, many processes, many draws
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m slow

test-cluster: $(VENV)/.installed-test,slurm,ray ## run the tests on a SLURM and a Ray of this machine's own (as root)
	tests/cluster/slurm.sh install
	$(BIN)/python -m pytest -m cluster

test-browser: $(VENV)/.installed-test,browser,play ## open the report and the page of `sweeps play` in a real browser; screenshots go to outputs/screenshots
	tests/browser/chromium.sh install
	$(BIN)/python -m pytest -m browser

test-latex: install ## compile the paper's tables with Debian's TeX Live, which it installs (as root)
	tests/latex/texlive.sh install
	$(BIN)/python -m pytest -m latex

test-gguf: $(VENV)/.installed-test,gguf ## run exports in llama.cpp, one of them of a real model from the package registry
	$(BIN)/python -m pytest -m gguf

test-vllm: install ## run cells on a real vLLM, in an environment of its own, with a model from the package registry
	tests/vllm/environment.sh install
	$(BIN)/python -m pytest -s -m vllm

# Nothing is fetched; a broken link or anchor, or a page that docs/index.md does not list, ends it.
site: $(VENV)/.installed-test,docs ## build the site of docs/ into site/index.html
	@# Not --quiet, under which mkdocs counts no warnings and --strict ends nothing.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

test-site: site ## look at the built site, and run the notebook
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m site

check: $(VENV)/.installed-dev ## run the linters, the type checker and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

real-data: install ## run the tests that use real models and texts in ../shared
	$(BIN)/python -m pytest -m real_data

real: install ## the study on real models; what an hour leaves goes on when given again; tables: outputs/study/results
	$(BIN)/python -m validation.study

real-quick: install ## a part of each of the study's steps, to see that they run; its tables go to outputs/study/quick
	$(BIN)/python -m validation.study --quick

bench: install ## print what things cost, as ratios; docs/performance.md keeps the last ones
	$(BIN)/python benchmarks/export.py
	$(BIN)/python benchmarks/identity.py
	$(BIN)/python benchmarks/ranking.py
	$(BIN)/python benchmarks/hidden_states.py
	$(BIN)/python benchmarks/sweep.py
	$(BIN)/python benchmarks/methods.py

clean: ## remove the environment and caches, keep outputs
	rm -rf $(VENV) site .mypy_cache .ruff_cache .pytest_cache .hypothesis
