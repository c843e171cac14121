#!/usr/bin/env bash
# deploy/install_dependencies.sh, with stand-ins for dpkg-query, apt-get and id: what it installs, when it stays
# quiet, and that it says why it cannot go on. Nothing on this machine changes.
set -uo pipefail
script=$(cd "$(dirname "$0")/../.." && pwd)/deploy/install_dependencies.sh
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
bash=$(command -v bash)
failures=0

stand_in() {
  printf '#!%s\n%s\n' "$bash" "$2" >"$bin/$1"
  chmod +x "$bin/$1"
}

# expect STATUS TEXT ARGUMENT...: runs the script with only the stand-ins on its path.
expect() {
  local wanted=$1 text=$2 output status
  shift 2
  output=$(PATH="$bin" "$bash" "$script" "$@" 2>&1)
  status=$?
  if [ "$status" -ne "$wanted" ] || [[ "$output" != *"$text"* ]]; then
    printf 'FAILED: wanted exit %s and "%s", got exit %s and:\n%s\n' "$wanted" "$text" "$status" "$output"
    failures=$((failures + 1))
  fi
}

expect 1 "this is not a Debian system"
expect 1 "libabsl-dev"
expect 1 "no set of packages is called 'gpu'" gpu

stand_in apt-get 'echo "APT $*"; exit 1'
stand_in dpkg-query 'echo -n installed'
expect 0 "" tests fuzz tidy arm64
if [ -n "$(PATH="$bin" "$bash" "$script" tests)" ]; then
  echo "FAILED: it speaks where nothing is missing"
  failures=$((failures + 1))
fi

stand_in dpkg-query '[ "${!#}" = ninja-build ] || echo -n installed'
stand_in id 'echo 1000'
if [ "$(. /etc/os-release && echo "$ID $VERSION_ID")" = "debian 12" ]; then
  expect 1 "Run this as root, or install sudo"
  expect 1 "packages are missing: ninja-build"
  stand_in id 'echo 0'
  stand_in env 'shift; exec "$@"'
  expect 1 "apt-get could not install: ninja-build"
  stand_in apt-get 'echo "APT $*"'
  expect 0 "--no-install-recommends ninja-build"
else
  expect 1 "Debian 12 only"
fi
exit "$((failures > 0))"
