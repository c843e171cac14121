#!/usr/bin/env bash
# deploy/quickstart.sh in a tree that is built already: it starts at once and builds nothing.
set -uo pipefail
cd "$(dirname "$0")/../.."
XDG_STATE_HOME=$(mktemp -d)
export XDG_STATE_HOME
trap 'deploy/quickstart.sh --stop >/dev/null; rm -rf "$XDG_STATE_HOME"' EXIT

fail() {
  printf 'FAILED: %s\n%s\n' "$1" "$output"
  exit 1
}

output=$(env -u POTLUCK deploy/quickstart.sh --port $((30000 + ($$ * 2) % 2000)) </dev/null 2>&1) ||
  fail "quickstart does not end well"
[[ "$output" != *"Building Potluck"* && "$output" != *"Built "* ]] || fail "it builds again"
