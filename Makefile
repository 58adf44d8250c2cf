# Every target sets up what it needs by itself (provision.sh); nothing has to be installed or activated first.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
bin := .venv/bin
# Tests with the marker `alone` measure, so that nothing else may run; of the others two run at once, in this order.
folders := tests/docker tests/process tests/golden tests/locustfiles tests/rules tests/unit
two := --numprocesses 2 --dist loadfile --no-loadscope-reorder
fast := not docker and not servers and not browser and not long
scenario := registry-pull
has_docker := timeout 10 docker version >/dev/null 2>&1

.PHONY: help trial test test-long suite check static fix picture wheel bench test-modern-host clean clean-venv

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 26

trial: ## run a scenario (registry-pull, or scenario=NAME): stack up, real load, latency and memory, stack down
	@./provision.sh trial
	@! $(has_docker) || $(bin)/seatrial images bootstrap
	$(bin)/seatrial run $(scenario)

test: ## every check and every test but the long ones, with real containers and real servers; 15 minutes
	@./provision.sh test
	@! $(has_docker) || $(bin)/seatrial images bootstrap
	@$(MAKE) --no-print-directory static
	@$(MAKE) --no-print-directory suite select="not long"

test-long: ## the tests that take too long for `test`; 15 minutes
	@./provision.sh long
	@! $(has_docker) || $(bin)/seatrial images bootstrap
	@$(MAKE) --no-print-directory suite select=long

suite: # the tests of $(select), of .venv as it stands
	$(bin)/pytest --durations 15 tests/docker tests/process -m "alone and $(select)"
	$(bin)/pytest --durations 15 $(two) $(folders) -m "not alone and $(select)"

check: ## the fast part of test: lint, types, layers, and the tests that need neither engine nor browser
	@./provision.sh check
	@$(MAKE) --no-print-directory static
	$(bin)/pytest tests/process -m "alone and $(fast)"
	$(bin)/pytest $(two) $(filter-out tests/docker,$(folders)) -m "not alone and $(fast)"

static: # of .venv as it stands
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy
	$(bin)/lint-imports

fix: ## let ruff mend and format what it can
	@./provision.sh check
	$(bin)/ruff check --fix .
	$(bin)/ruff format .

picture: ## draw docs/explanation/house.svg from the imports, and players.svg from the captured sessions
	@./provision.sh check
	$(bin)/python docs/house_picture.py > docs/explanation/house.svg
	$(bin)/python docs/players_picture.py > docs/explanation/players.svg

wheel: ## build the wheel into dist/
	@./provision.sh check
	$(bin)/python -m build --no-isolation --wheel --outdir dist

bench: ## measure what the client costs beside others, and write docs/reference/performance.md; 20 minutes
	@./provision.sh bench
	$(bin)/python tests/bench/run.py --write-docs
	$(bin)/python tests/bench/viewers.py

test-modern-host: ## make trial on an emulated Debian 13 (cgroup v2, overlay2); 15 minutes or more, needs root once
	tests/modern_host/run make trial

clean: ## remove what was built and cached; never results/
	rm -rf dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find harness locustfiles scenarios tests -name __pycache__ -type d -prune -exec rm -rf {} +

clean-venv: ## remove .venv, so that the next target makes it anew
	rm -rf .venv
