#!/usr/bin/env bash
# deploy/quickstart.sh with a program that is built already ($POTLUCK): it brings up a cluster, finds it again, ends it,
# and says why where it cannot; whatever happens, no process is left over.
set -uo pipefail
quickstart=$(cd "$(dirname "$0")/../.." && pwd)/deploy/quickstart.sh
: "${POTLUCK:?the program to test}"
program=$POTLUCK
folder=$(mktemp -d)
export XDG_STATE_HOME=$folder/state
home=$XDG_STATE_HOME/potluck-quickstart
# Of the ports that nobody is given by chance.
port=$((10000 + ($$ * 2) % 20000))
failures=0

left_over() {
  grep -lzxF -- "$home/state" /proc/[0-9]*/cmdline 2>/dev/null
}

finish() {
  "$quickstart" --stop >/dev/null 2>&1
  [ -z "$other" ] || kill "$other"
  rm -rf "$folder"
}
other=
trap finish EXIT

failed() {
  printf 'FAILED: %s\n%s\n' "$1" "$output"
  failures=$((failures + 1))
}
expect() { [[ "$output" == *"$1"* ]] || failed "it does not say \"$1\""; }
expect_nothing_left() { [ -z "$(left_over)" ] || failed "processes are left over: $(left_over)"; }
expect_failure() {
  [ "$status" -ne 0 ] || failed "it ends well"
  expect "quickstart: "
  expect_nothing_left
}
start() {
  output=$(POTLUCK=$program "$quickstart" --port "$port" "$@" </dev/null 2>&1)
  status=$?
}

# A first start.
start "What can I bring to a pot-luck?"
[ "$status" -eq 0 ] || failed "it does not end well"
expect "only to show"
expect "http://127.0.0.1:$port"
expect "up YOUR_MODEL.gguf --lan"
answer=$(sed -n '/^== potluck run/,/^== The cluster/p' <<<"$output" | grep -v '^==')
grep -qE '[[:alpha:]]{2,} [[:alpha:]]{2,}' <<<"$answer" || failed "there is no answer"
[ "$(left_over | wc -l)" -eq 3 ] || failed "three processes do not run"
[ "$(stat -c %a "$home/join")" = 600 ] || failed "others can read the join code"

# The commands that it names.
output=$("$program" status --url "http://127.0.0.1:$port" --json 2>&1)
[ "$(grep -c '"layers"' <<<"$output")" -eq 2 ] || failed "the model does not run on two workers"
output=$("$program" plan --check --url "http://127.0.0.1:$port" 2>&1) || failed "plan --check fails"
expect "measured / predicted"

# It is found again, whatever port is asked for this time.
port=$((port + 2)) start "What goes with leeks?"
[ "$status" -eq 0 ] || failed "it does not end well where one runs"
expect "runs already, at http://127.0.0.1:$port"
[ "$(left_over | wc -l)" -eq 3 ] || failed "it has started more"

# It comes back, with the model once, when it was ended, also in disorder.
kill -KILL "$(cat "$home/first.pid")"
start
[ "$status" -eq 0 ] || failed "it does not come back"
output=$("$program" status --url "http://127.0.0.1:$port" --json 2>&1)
[ "$(grep -c '"model"' <<<"$output")" -eq 1 ] || failed "the model is there more than once"
output=$("$quickstart" --stop 2>&1) || failed "it cannot be stopped"
expect_nothing_left
output=$("$quickstart" --stop 2>&1) || failed "stopping it twice fails"
expect "No quickstart cluster runs"

# What can go wrong.
XDG_STATE_HOME=$folder/other "$program" up --no-worker --http "127.0.0.1:$port" --listen 127.0.0.1:0 \
  --state-dir "$folder/other" >"$folder/other.log" 2>&1 &
other=$!
until grep -q "potluck join" "$folder/other.log" || ! kill -0 "$other"; do sleep 0.1; done
start
expect_failure
expect "127.0.0.1:$port is taken"
expect "--port"
kill "$other"
wait "$other"
other=

real=$program
program=$folder/potluck
printf '#!/bin/sh\n[ "$1" != join ] || { echo "potluck: no worker today" >&2; exit 1; }\nexec "%s" "$@"\n' "$real" >"$program"
chmod +x "$program"
start
expect_failure
expect "the first ended"
expect "no worker today"
printf '#!/bin/sh\n[ "$1" != run ] || { echo "potluck: no answer today" >&2; exit 1; }\nexec "%s" "$@"\n' "$real" >"$program"
start
expect_failure
expect "no answer today"
program=$folder/nowhere
start
expect_failure

# A tree in which the build fails.
mkdir -p "$folder/tree/deploy" "$folder/bin"
cp "$quickstart" "$folder/tree/deploy/"
printf '#!/bin/sh\n' >"$folder/tree/deploy/install_dependencies.sh"
printf '#!/bin/sh\necho "no compiler today"; exit 1\n' >"$folder/bin/cmake"
cp "$folder/bin/cmake" "$folder/bin/ninja"
chmod +x "$folder/tree/deploy/install_dependencies.sh" "$folder/bin/"*
build() {
  output=$(env -u POTLUCK PATH="$folder/bin:$PATH" "$folder/tree/deploy/quickstart.sh" --port "$port" </dev/null 2>&1)
  status=$?
  expect_failure
  expect "no compiler today"
}
build
expect "CMake could not configure"
mkdir -p "$folder/tree/build/release"
: >"$folder/tree/build/release/build.ninja"
build
expect "the build failed"

exit "$((failures > 0))"
