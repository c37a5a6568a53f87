# Front door to the CMake build: `make help` lists the goals.
SHELL := /bin/sh
PREFIX ?= /usr/local
DESTDIR ?=
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
GENERATOR := $(shell command -v ninja >/dev/null 2>&1 && echo Ninja || echo 'Unix Makefiles')
SOURCES = $(shell git ls-files '*.c' '*.h')

# configure-and-build PRESET: quiet configuration, then a parallel build.
define build
	@cmake --preset $(1) -G '$(GENERATOR)' -DCMAKE_INSTALL_PREFIX='$(PREFIX)' --log-level=NOTICE > /dev/null
	@cmake --build --preset $(1) -j $(JOBS)
endef

.PHONY: help run test test-asan test-tsan test-aarch64 check-long fuzz-smoke bench bench-peers install \
        format format-check tidy docs clean

help: ## list the goals
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

run: ## build, then start the server with its console
	@script/bootstrap
	$(call build,release)
	@exec build/release/bin/server

test: ## build, then run every test
	@script/bootstrap
	$(call build,release)
	@ctest --preset release -j $(JOBS)

test-asan: ## every test under the address and undefined-behaviour sanitizers
	@script/bootstrap
	$(call build,asan)
	@ctest --preset asan -j $(JOBS) -LE model

test-tsan: ## the concurrent tests under the thread sanitizer
	@script/bootstrap
	$(call build,tsan)
	@ctest --preset tsan -L concurrent

test-aarch64: ## queues and base on a weakly ordered machine, under qemu-user
	@script/bootstrap --aarch64
	$(call build,aarch64)
	@ctest --preset aarch64 -LE "model|fork"

check-long: ## the long model, fuzz and soak runs
	@script/bootstrap --ci
	@script/check-long

fuzz-smoke: ## every fuzz target for a few seconds
	@script/bootstrap --ci
	@script/fuzz --seconds 20

bench: ## our own benchmarks
	@script/bootstrap
	$(call build,release)
	@build/release/bin/bench all

bench-peers: ## our benchmarks next to the libraries we measure ourselves with
	@script/bootstrap --peers
	$(call build,peers)
	@build/peers/bin/bench all

install: ## install under $(PREFIX), below $(DESTDIR)
	@script/bootstrap
	$(call build,release)
	@DESTDIR='$(DESTDIR)' cmake --install build/release --prefix '$(PREFIX)'

format: ## format every source
	@clang-format -i $(SOURCES)

format-check: ## fail if a source is not formatted
	@clang-format --dry-run --Werror $(SOURCES)

tidy: ## clang-tidy over the library and the programs
	$(call build,release)
	@git ls-files 'src/*.c' 'apps/*.c' | xargs -P $(JOBS) -n 4 clang-tidy -p build/release --quiet --warnings-as-errors='*'

docs: ## the reference, as HTML in build/docs
	@script/bootstrap --ci
	@script/docs

clean: ## remove everything built
	@rm -rf build
