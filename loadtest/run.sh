#!/usr/bin/env bash
# Load against a running cluster, with checked answers:
#
#   loadtest/run.sh smoke [--server http://127.0.0.1:8080] [--clients 8] [--seconds 10]
#
# Prints a table; exits non-zero on a wrong answer or an error. Sends its load to this machine or to
# the server that it is told, for a bounded time. LOADTEST_BIN names a binary that is already built.
set -euo pipefail
if [ -n "${LOADTEST_BIN:-}" ]; then exec "$LOADTEST_BIN" "$@"; fi
cd "$(dirname "$0")/.."
exec cargo run --quiet --release --locked --package waterbear-loadtest -- "$@"
