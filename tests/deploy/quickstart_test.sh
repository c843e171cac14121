#!/usr/bin/env bash
# deploy/quickstart.sh in a tree that is built already: it starts at once, builds nothing, and the demo model answers.
set -uo pipefail
cd "$(dirname "$0")/../.."

fail() {
  printf 'FAILED: %s\n%s\n' "$1" "$output"
  exit 1
}

output=$(deploy/quickstart.sh "What can I bring to a pot-luck?" </dev/null 2>&1) || fail "quickstart does not end well"
[[ "$output" != *"Building Potluck"* && "$output" != *"Built "* ]] || fail "it builds again"
answer=$(sed -n '/^== potluck run/,/^== What next/p' <<<"$output" | grep -v '^==')
grep -qE '[[:alpha:]]{2,} [[:alpha:]]{2,}' <<<"$answer" || fail "there is no answer"
[[ "$output" == *"== What next"* ]] || fail "it does not say what to try next"
