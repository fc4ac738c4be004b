# Front doors. Each line calls the tool that a person would call; LAB names a sandbox, SIZE is solo, small, full or wide.
LAB ?= lab
SIZE ?=
BAKED ?= 1
export LAB
lab = .venv/bin/python -m lab

.PHONY: help tools up down status list ssh check test soak bench clean-images
.DEFAULT_GOAL := help

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-22s %s\n", $$1, $$2}'

tools: ## the project's own tools, in .venv
	@scripts/bootstrap

up: tools ## raise a fleet, converge it, deploy the booking service, book a stay (SIZE=solo, small, full or wide, BAKED=0, LAB=lab-NAME)
	@$(lab) up $(if $(SIZE),--size $(SIZE)) $(if $(filter 0,$(BAKED)),--bare)

down: tools ## remove the fleet and all it left on the machine
	@$(lab) down

status: tools ## the fleet's hosts and addresses
	@$(lab) status

list: tools ## every sandbox of this machine
	@$(lab) list

ssh: tools ## a shell on a host: make ssh HOST=web1
	@$(lab) ssh $(HOST)

check: tools ## the fast checks: lint, types, unit and contract tests; needs no host
	@.venv/bin/python -m tests.run check

test: tools ## everything, on a fleet of its own
	@.venv/bin/python -m tests.run test

soak: tools ## everything, in the full counts
	@.venv/bin/python -m tests.run soak

bench: tools ## the figures, on a fleet of its own: tables, and reports in build/bench/
	@.venv/bin/python -m tests.run bench

clean-images: tools ## remove cached images that no sandbox uses
	@$(lab) clean-images
