# make build PYTHON=python3.12        a virtual environment with rthread built for that interpreter
# make demo                           examples and CPython's own test_threading on rthread
# make test                           the whole suite on python3
# make test PYTHONS="python3.12 python3.14t"
# make test TESTS=tests/dropin        a part of it
# make test-parallel PYTHON=python3.14t  the tests of behaviour, each in four threads at a time
# make stress SECONDS=60 PYTHONS=...  everything at once; SEED=... to try the same again
# make bench PYTHON=...               stock against rthread, side by side, and against packages
# make chart                          the results of all benches as a table and as docs/bench.svg
# make conformance PYTHONS=...        CPython's own thread tests, as a table
# make reliability PYTHONS=...        everything of tests/reliability, at length, as a table
# make asan CASES=20000               bad input and the tests, under AddressSanitizer
# make tsan                           locks and waiting on real threads, under ThreadSanitizer
# make third-party PYTHON=...         tests of gevent, eventlet and others on stock and on rthread
# make check-models                   locks and waiting under model checkers, and against mutants
# make torture PYTHONS=...            all of these and the model checks: hours
# make lint, make rust-test, make clean

PYTHON ?= python3
PYTHONS ?= $(PYTHON)
# Goes before the names of environments, for two systems that share one checkout and both have,
# say, a python3.14.
TAG ?=

name = $(TAG)$(subst /,-,$(patsubst /%,%,$(PYTHON)))
venv = .venvs/$(name)
python = $(venv)/bin/python
target = target/$(name)
results = build/$(name)

sources = $(shell find src python rthread.data Cargo.toml Cargo.lock build.rs pyproject.toml \
	-type f ! -name '*.pyc' 2>/dev/null)
# One command on each of $(PYTHONS); all of them run even where one fails.
each = status=0; for python in $(PYTHONS); do \
	$(MAKE) --no-print-directory $(1) PYTHON=$$python || status=1; done

# Warnings of our own crate are errors wherever it is checked; --cfg picks the other parker.
clippy = cargo clippy --all-targets
deny = -- -D warnings
loom = RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom
shuttle = RUSTFLAGS="--cfg shuttle" CARGO_TARGET_DIR=target/shuttle
portable = RUSTFLAGS="--cfg rthread_portable_parker" CARGO_TARGET_DIR=target/portable

# An extension that AddressSanitizer watches, in an environment of its own. It has to be there before
# the interpreter, whose objects it sees only if they come from malloc(); what the interpreter leaves
# at exit is not a leak. Asking for more memory than there is, is not an error here.
CASES ?= 20000
libasan = $(shell $${CC:-cc} -print-file-name=libasan.so)
asan_build = RUSTUP_TOOLCHAIN=nightly CARGO_BUILD_TARGET=$$(rustc -vV | sed -n 's/^host: //p') \
	RUSTFLAGS="-Zsanitizer=address -Zexternal-clangrt -Cforce-frame-pointers=yes -Cdebuginfo=1" \
	CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
asan_run = LD_PRELOAD=$(libasan) PYTHONMALLOC=malloc PYTHONPATH=tests \
	ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=8192
# Not what measures memory, and not what runs processes: those are the subject elsewhere.
asan_tests = tests/native tests/behaviour $(addprefix --ignore=,tests/native/test_memory_native.py \
	$(wildcard tests/native/test_fork_*.py tests/behaviour/test_fork_*.py))

.PHONY: help build test test-one test-parallel stress stress-one conformance conformance-one reliability \
	reliability-one third-party torture check-models tsan asan asan-run demo bench chart lint \
	rust-test clean
# An environment that was not finished is not taken for one the next time.
.DELETE_ON_ERROR:

help:
	@sed -n 's/^# make/make/p' $(firstword $(MAKEFILE_LIST))

build: $(venv)/built

# maturin is what pyproject.toml asks to build with: installed once here, not at each build.
$(venv)/bin/python:
	@path=$$(.ci/find-python $(PYTHON)) && \
		echo "$(venv): a virtual environment of $$path" && \
		rm -rf $(venv) && $$path -m venv $(venv) && \
		$(python) -m pip install -q "maturin>=1.9.4,<2"

# What the tests use. gevent and eventlet are for interpreters with a GIL.
extras = test$(shell $(python) -c 'import sysconfig; \
	print(end="" if sysconfig.get_config_var("Py_GIL_DISABLED") else ",greenlets")' 2>/dev/null)

# PYO3_BUILD_EXTENSION_MODULE: do not link against libpython, the interpreter brings it.
$(venv)/built: $(venv)/bin/python $(sources)
	PATH="$(CURDIR)/$(venv)/bin:$$PATH" \
		CARGO_TARGET_DIR=$(CURDIR)/$(target) PYO3_BUILD_EXTENSION_MODULE=1 \
		$(python) -m pip install -q --no-build-isolation '.[$(extras)]'
	@touch $@

test:
	@$(call each,test-one); exit $$status

test-one: build
	@mkdir -p $(results)
	RTHREAD_RESULTS=$(CURDIR)/$(results) $(python) -m pytest --junit-xml=$(results)/tests.xml $(TESTS)

# Each test in several threads that begin together; without what is about the process or a signal.
test-parallel: build
	@$(python) -m pip install -q "pytest-run-parallel>=0.10"
	$(python) -m pytest -q -p no:cacheprovider --parallel-threads=4 --skip-thread-unsafe=true \
		tests/behaviour tests/native

# Which seed it was is printed when something fails.
SECONDS ?= 60
SEED ?=

stress:
	@$(call each,stress-one); exit $$status

stress-one: build
	@PYTHONPATH=tests RTHREAD_SEED=$(SEED) $(python) -m reliability stress --count $(SECONDS)

conformance:
	@$(call each,conformance-one); echo; \
	$$(.ci/find-python $(firstword $(PYTHONS))) -m tests.cpython --table build; exit $$status

conformance-one: build
	@$(python) -m tests.cpython --results $(results)

# PROOFS: which of them; RELIABILITY: more options, as --short.
reliability:
	@$(call each,reliability-one); echo; \
	PYTHONPATH=tests $$(.ci/find-python $(firstword $(PYTHONS))) -m reliability --table build; \
	exit $$status

reliability-one: build
	@PYTHONPATH=tests $(python) -m reliability --results $(results) $(RELIABILITY) $(PROOFS)

# Projects that do not install are left out; ONLY: the name of one project.
third-party: build
	@$(python) .ci/third_party.py $(python) $(addprefix --only ,$(ONLY))

torture: check-models
	@$(call each,reliability-one); exit $$status

demo: build
	@$(python) .ci/demo.py

# What the bench races beside stock. One by one: what does not install here must not keep out the
# others, and the bench says what it did not find.
$(venv)/rivals: $(venv)/built
	@for package in fastrlock aiologic culsans cereggii readerwriterlock; do \
		$(python) -m pip install -q $$package || true; done
	@touch $@

bench: $(venv)/rivals
	@mkdir -p $(results)
	@$(python) -m benches --json $(results)/bench.json $(BENCH)

chart: build
	@$(python) -m pip install -q matplotlib
	@mkdir -p docs
	@$(python) -m benches.chart docs/bench.svg $(wildcard build/*/bench.json)
	@$(python) -m benches.summary $(wildcard build/*/bench.json)

lint: build
	$(python) -m pip install -q 'rthread[lint]'
	cargo fmt --check
	PYO3_PYTHON=$(CURDIR)/$(python) CARGO_TARGET_DIR=target/lint $(clippy) $(deny)
	CARGO_TARGET_DIR=target/lint $(clippy) --no-default-features $(deny)
	$(portable) $(clippy) --no-default-features $(deny)
	$(loom) $(clippy) --no-default-features $(deny)
	$(shuttle) $(clippy) --no-default-features $(deny)
	RUSTDOCFLAGS="-D warnings" PYO3_PYTHON=$(CURDIR)/$(python) CARGO_TARGET_DIR=target/doc \
		cargo doc --quiet --document-private-items --no-deps
	$(python) -m tests.sources.layers
	$(python) -m ruff check
	$(python) -m ruff format --check
	$(python) -m mypy
	$(python) -m mypy benches tests/cpython tests/models tests/sources docs/paste.py .ci/demo.py .ci/table.py .ci/third_party.py
	$(python) -m mypy.stubtest rthread $(addprefix --allowlist=,$(wildcard tests/stubtest*.txt))

# The part without Python, on both parkers.
rust-test:
	CARGO_TARGET_DIR=target/rust cargo test --no-default-features
	$(portable) cargo test --no-default-features

# The same under loom and shuttle, and how many executions that were; then with `sync` broken in many
# ways, which the models have to notice. MODELS="--only loom", "--mutant barrier", …: a part of it.
check-models:
	@$$(.ci/find-python $(PYTHON)) -m tests.models $(MODELS)

# The tests of `sync`, so often; needs Rust's nightly with its sources.
ROUNDS ?= 3

tsan:
	@$$(.ci/find-python $(PYTHON)) -m tests.models.tsan --rounds $(ROUNDS)

asan:
	@cargo +nightly --version >/dev/null 2>&1 || \
		{ echo "make asan needs Rust's nightly: rustup toolchain install nightly"; exit 1; }
	@test -e "$(libasan)" || { echo "make asan needs GCC's libasan"; exit 1; }
	$(asan_build) $(MAKE) --no-print-directory build TAG=asan-
	@$(MAKE) --no-print-directory asan-run TAG=asan-

asan-run:
	$(asan_run) $(python) -m reliability bad-input bad-threads --count $(CASES)
	$(asan_run) $(python) -m pytest -q -p no:cacheprovider $(asan_tests)

clean:
	rm -rf .venvs target build
