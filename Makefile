# One line each: `make`. The gate is test/gate/gate.sh; this file only gives it names.

PREFIX  ?= /usr/local
BINARY  ?= bin/actuatord
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# The time of the commit: the daemon believes no clock that shows less.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)
export PREFIX BINARY VERSION

.DEFAULT_GOAL := help
.PHONY: help build demo test test-quick hil torture powercut bench cross packages install uninstall clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' Makefile

build: ## actuatord and c2d for this machine, into bin/
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-X main.version=$(VERSION) -X main.built=$(SOURCE_DATE_EPOCH)' -o bin/ ./cmd/actuatord ./cmd/c2d

demo: ## the main job on one screen: a hub, a simulated board, commands and their feedback
	@go run ./test/demo

test: ## the whole gate, as .ci/run calls it (fetches missing tools when root)
	@./test/gate/gate.sh

test-quick: ## formatting, vet and the tests without race detector: while you work
	@./test/gate/gate.sh quick

hil: ## the real program on emulated boards with pins and buses, under Debian's kernels (fetches 0.95 GB once)
	@./test/hil/hil.sh -v

torture: ## real processes, killed and cut off in every way, and a judge (FLAGS="-for 40m -devices 4 -seed 17")
	@go run ./test/torture $(FLAGS)

powercut: ## power cuts under the real daemon, its kernel and its file system, and a judge (FLAGS="-cuts 300 -seed 7")
	@./test/powercut/powercut.sh $(FLAGS)

bench: ## latency, flash, memory and start beside what they are measured against (5 min; a quiet machine)
	@TMPDIR=/var/tmp go test -run '^$$' -bench . -count 5 ./persist
	@go run ./test/bench $(FLAGS)

cross: ## both programs for every board, into dist/, with checksums and sizes
	@./cross-build.sh

packages: cross ## Debian packages of both programs for every board, into dist/packages/
	@./package/build.sh

install: $(BINARY) ## the daemon, unit, user and device rules (DESTDIR=, PREFIX=, BINARY=); does not start it
	@./systemd/install.sh install

uninstall: ## takes that away again; keeps configuration and journal
	@./systemd/install.sh uninstall

clean: ## removes bin/ and dist/
	rm -rf bin dist

# Only where there is none: `sudo make install` needs no Go once it is built.
bin/actuatord:
	$(MAKE) build
