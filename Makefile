# make build PYTHON=python3.12        a virtual environment with rthread built for that interpreter
# make demo                           examples and CPython's own test_threading on rthread
# make test                           the whole suite on python3
# make test PYTHONS="python3.12 python3.14t"
# make bench PYTHON=...               stock against rthread, side by side, and against packages
# make chart                          the results of all benches as a table and as docs/bench.svg
# make conformance PYTHONS=...        CPython's own thread tests, as a table
# make check-models                   locks and waiting under model checkers, and against mutants
# make tsan                           the same on real threads under ThreadSanitizer (nightly Rust)
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

.PHONY: build test test-one conformance conformance-one demo bench chart lint rust-test \
	check-models tsan clean
# An environment that was not finished is not taken for one the next time.
.DELETE_ON_ERROR:

build: $(venv)/built

# maturin is what pyproject.toml asks to build with: installed once here, not at each build.
$(venv)/bin/python:
	@path=$$(.ci/find-python $(PYTHON)) && \
		echo "$(venv): a virtual environment of $$path" && \
		rm -rf $(venv) && $$path -m venv $(venv) && \
		$(python) -m pip install -q "maturin>=1.9.4,<2"

# PYO3_BUILD_EXTENSION_MODULE: do not link against libpython, the interpreter brings it.
$(venv)/built: $(venv)/bin/python $(sources)
	PATH="$(CURDIR)/$(venv)/bin:$$PATH" \
		CARGO_TARGET_DIR=$(CURDIR)/$(target) PYO3_BUILD_EXTENSION_MODULE=1 \
		$(python) -m pip install -q --no-build-isolation '.[test]'
	@touch $@

test:
	@$(call each,test-one); exit $$status

test-one: build
	@mkdir -p $(results)
	RTHREAD_RESULTS=$(CURDIR)/$(results) $(python) -m pytest --junit-xml=$(results)/tests.xml

conformance:
	@$(call each,conformance-one); echo; \
	$$(.ci/find-python $(firstword $(PYTHONS))) -m tests.cpython --table build; exit $$status

conformance-one: build
	@$(python) -m tests.cpython --results $(results)

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
	$(python) -m ruff check
	$(python) -m ruff format --check
	$(python) -m mypy
	$(python) -m mypy benches tests/cpython tests/models .ci/demo.py .ci/table.py
	$(python) -m mypy.stubtest rthread $(addprefix --allowlist=,$(wildcard tests/stubtest*.txt))

# The part without Python, on both parkers.
rust-test:
	CARGO_TARGET_DIR=target/rust cargo test --no-default-features
	$(portable) cargo test --no-default-features

# The same under loom and shuttle, and how many executions that were; then with `sync` broken in many
# ways, which the models have to notice. MODELS="--only loom", "--mutant barrier", …: a part of it.
check-models:
	@$$(.ci/find-python $(PYTHON)) -m tests.models $(MODELS)

# The same on real threads, both parkers, under ThreadSanitizer.
tsan:
	@$$(.ci/find-python $(PYTHON)) -m tests.models.tsan

clean:
	rm -rf .venvs target build
