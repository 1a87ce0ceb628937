# make demo   the main job end to end, on embedded defaults      make demo PROVER=replay   without the SP1 step
# make test   every test but the slow ones                       make bench                the measurements in perf/
# make certify   every case on both FIX applications             make docs                 spec/ as HTML and PDF
# make interop   other FIX engines trade here (java, mvn; go)
# make fuzz   FUZZ_SECONDS of the core's fuzz target             make coverage             lines and branches of cores/*.c

PROVER ?= sp1
ORDERS ?= 2000
SEED ?= 7
FUZZ_SECONDS ?= 60
PY := .venv/bin/python
ANVIL := .cache/node/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil

.PHONY: certify interop docs demo test slow fuzz coverage lint bench install prover anvil clean

install:
	@.ci/install

demo: install
	@$(PY) -m venue demo --orders $(ORDERS) --seed $(SEED) --prover $(PROVER)

test: install prover anvil
	@$(PY) -m pytest -m "not slow"

slow: install prover anvil
	@$(PY) -m pytest -m slow

fuzz: install
	@$(PY) -m tests.cores.fuzzing --seconds $(FUZZ_SECONDS)

coverage: install
	@$(PY) -m tests.cores.coverage --missing

prover: install
	@$(PY) -m proving.sp1.build

anvil:
	@.ci/anvil

TIDY := .venv/bin/clang-tidy --quiet

lint: install
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@.venv/bin/clang-format --dry-run -Werror $(wildcard cores/*.[ch] venue/*.[ch] proving/guest/*.[ch] fix_sessions/*.cpp fix_sessions/*.h perf/*.c)
	@printf '%s\n' $(filter-out cores/_%.c,$(wildcard cores/*.c venue/*.c perf/*.c)) proving/guest/native.c | xargs -P 2 -n 1 sh -c '$(TIDY) "$$0" -- -std=gnu11 -Icores -Ivenue -Iproving/guest 2>/dev/null || exit 255'
	@printf '%s\n' $(addprefix proving/guest/,main.c memory.c sp1.c zisk.c) | xargs -P 2 -n 1 sh -c '$(TIDY) "$$0" -- --target=riscv64 -mabi=lp64 -ffreestanding -std=gnu11 -Icores -Iproving/guest 2>/dev/null || exit 255'
	@printf '%s\n' $(filter-out fix_sessions/_%.cpp,$(wildcard fix_sessions/*.cpp)) | QUICKFIX="$$($(PY) -c 'from fix_sessions.build import headers_dir; print(headers_dir())')" xargs -P 2 -n 1 sh -c '$(TIDY) "$$0" -- -std=c++17 -Ifix_sessions -Icores -Ivenue -isystem "$$QUICKFIX" 2>/dev/null || exit 255'

bench: install prover
	@for bench in perf/bench_*.py; do echo; echo "$$bench"; $(PY) $$bench --quick || exit 1; done

certify: install
	@$(PY) -m fix_sessions.certification_run

interop: install
	@$(PY) -m tests.interop.two_clients
	@$(PY) -m pytest -m interop

docs: install
	@$(PY) spec/pages.py build/docs

clean:
	rm -rf .venv .cache build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find cores venue fix_sessions proving -name '*.so' -delete
