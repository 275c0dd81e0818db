# `make demo` and `make test` install what they need into .venv first; nothing else is required on Linux x86-64 with
# Python 3.11. TORCH_INDEX: where pip finds torch's CPU wheel, if not in its default places (PyTorch's own CPU index).
PYTHON ?= python3.11
VENV ?= .venv
TORCH_INDEX ?=
ALGO ?= grpo
STEPS ?= 50
SEED ?= 1
BENCH ?=

REQUIREMENTS := configs/requirements-cpu.txt
# A file of pins that take the place of those of REQUIREMENTS.
OVERRIDES ?=
INSTALLED := $(VENV)/.installed
PIP_INSTALL := $(VENV)/bin/pip install --quiet --disable-pip-version-check
# pip compiles what it installs in one process; this does it in as many as there are cores. Left out are the folders of
# a thousand models and of tests: what is imported of them is compiled then. Some packages ship templates with an
# ending of Python that are none.
COMPILE = $(VENV)/bin/python -m compileall -q -j 0 -x '/(models|tests|testing)/' $(VENV)/lib >/dev/null 2>&1 || true

# Tests that start no processes of minutes run in so many processes at once.
WORKERS ?= 2
# The one end-to-end test of `make test`: a real OpenRLHF job whose reward is a real GRM on vLLM, on a real Ray cluster.
SLICE := tests/e2e/test_openrlhf_hooks.py::test_the_agent_hook_trains_and_evaluates_with_different_n

# Unit tests of what is run beside the reward path, half of the time of all: they wait for `make test-rest`.
LATER := tests/unit/attacks tests/unit/batch tests/unit/best_of tests/unit/cpu tests/unit/doctor tests/unit/evals tests/unit/examples \
	tests/unit/plan tests/unit/rules tests/unit/spct tests/unit/votes tests/unit/cli tests/unit/test_api.py \
	tests/unit/judging/test_parsing_properties.py tests/unit/engines/test_vllm_on_gpus.py

# What takes minutes each and breaks seldom: `make test-long`, which the Actions workflow runs beside .ci/run.
LONG := tests/e2e/test_spct_meta_rm.py tests/e2e/test_spct_openrlhf.py tests/e2e/test_tensor_parallel.py \
	tests/e2e/test_gpu_script.py tests/e2e/test_deploy_slurm.py tests/e2e/test_thinking_budget.py

# What other versions of vLLM, transformers and Ray could break: engines, service, OpenRLHF's hooks.
VERSIONS_QUICK := tests/unit/engines tests/unit/serving tests/unit/conversation tests/unit/integrations tests/unit/cpu \
    tests/unit/doctor tests/contracts/test_openrlhf.py tests/contracts/test_openrlhf_reward_func.py
VERSIONS_SLOW := tests/e2e/test_vllm_engines.py tests/e2e/test_service_ray.py tests/e2e/test_token_ray.py \
    tests/e2e/test_two_nodes.py tests/e2e/test_openrlhf_plan.py tests/e2e/test_openrlhf_hooks.py tests/e2e/test_openrlhf_cpu.py

.PHONY: demo spct test test-rest test-long test-all test-verl test-matrix test-versions chaos bench unit check format docs clean

demo: $(INSTALLED)
	$(VENV)/bin/python -m examples.demo --algo $(ALGO) --steps $(STEPS)

# SPCT in miniature (examples/nano/README.md): a GRM and its meta RM trained and measured, 25 minutes.
spct: $(INSTALLED)
	$(VENV)/bin/python -m examples.nano.spct --seed $(SEED) --run runs/spct

# At most ten minutes on two cores, installing included.
test: check
	$(VENV)/bin/pytest -n $(WORKERS) --dist worksteal tests/unit tests/browser $(LATER:%=--ignore=%)
	$(VENV)/bin/pytest $(SLICE)

# What is left: further unit tests, every framework's own call site, all other end-to-end tests, a short chaos, verl.
test-rest: $(INSTALLED)
	$(VENV)/bin/pytest -n $(WORKERS) --dist worksteal tests/contracts $(LATER)
	$(VENV)/bin/pytest tests/e2e tests/chaos --deselect $(SLICE) $(LONG:%=--ignore=%)
	$(MAKE) test-verl

test-long: $(INSTALLED)
	$(VENV)/bin/pytest $(LONG)

# All tests but those of other versions (test-matrix).
test-all:
	$(MAKE) test
	$(MAKE) test-rest
	$(MAKE) test-long

# verl needs another transformers, so it is tested in an environment of its own.
test-verl:
	$(MAKE) VENV=.venv-verl REQUIREMENTS=configs/requirements-verl-cpu.txt .venv-verl/.installed
	.venv-verl/bin/pytest tests/contracts/test_verl.py

# The other tested combinations of versions (docs/versions.md), in environments of their own: OpenRLHF's own pins, and a newer
# Ray. Half an hour each on two cores that had other work too.
test-matrix:
	$(MAKE) test-versions VENV=.venv-openrlhf OVERRIDES=configs/overrides-openrlhf-cpu.txt
	$(MAKE) test-versions VENV=.venv-ray OVERRIDES=configs/overrides-ray-cpu.txt

test-versions: $(INSTALLED)
	$(VENV)/bin/pytest -n $(WORKERS) --dist worksteal $(VERSIONS_QUICK)
	$(VENV)/bin/pytest $(VERSIONS_SLOW)

# Kills, freezes and corrupts everything under a load of 2,640 rewards: six minutes.
chaos: $(INSTALLED)
	$(VENV)/bin/python tests/chaos

# What the reward path costs, with a simulated GRM: ten to twenty minutes; BENCH="--quick" or others of its options.
bench: $(INSTALLED)
	$(VENV)/bin/python tests/benchmarks/bench_reward_path.py $(BENCH)

unit: $(INSTALLED)
	$(VENV)/bin/pytest -n $(WORKERS) --dist worksteal tests/unit tests/contracts

check: $(INSTALLED)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

format: $(INSTALLED)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

# The reference, made from the code into build/docs. A warning is an error: a broken link, a name that is not there.
docs:
	$(MAKE) VENV=.venv-docs REQUIREMENTS=configs/requirements-docs.txt .venv-docs/.installed
	rm -rf build/docs
	.venv-docs/bin/sphinx-build --fail-on-warning --fresh-env --quiet --doctree-dir build/doctrees docs build/docs

# pip refuses two pins of one package: those that are overridden are left out of what it reads.
$(INSTALLED): $(REQUIREMENTS) $(OVERRIDES) pyproject.toml
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	sed -n 's/^\([^#]*==\).*/^\1/p' /dev/null $(OVERRIDES) | grep -v -f - $(REQUIREMENTS) > $(VENV)/requirements.txt
	$(PIP_INSTALL) --no-deps --no-compile $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) \
	    -r $(VENV)/requirements.txt $(OVERRIDES:%=-r %)
	$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	$(COMPILE)
	touch $@

clean:
	rm -rf $(VENV) .venv-verl .venv-openrlhf .venv-ray .venv-docs docs/reference runs build dist *.egg-info
