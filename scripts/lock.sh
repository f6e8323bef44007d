#!/bin/sh
# Renews the lock files; called by `make lock` with the path of pip-compile.
set -eu
compile="$1 --quiet --strip-extras --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header"
$compile -o requirements/run.lock pyproject.toml
$compile -o requirements/dev.lock pyproject.toml requirements/dev.in
