#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test.
#
#   tests/run.sh                  release build with every test and the lint; then the unit tests again with the address
#                                 and undefined-behaviour sanitizers; then each fuzz target for a fixed count of inputs
#   tests/run.sh --quick          the release build and its tests only
#   tests/run.sh --sanitizers     the unit tests with the address+undefined, then with the thread sanitizer
#   tests/run.sh --fuzz SECONDS   each fuzz target for SECONDS, new inputs kept in build/fuzz/corpus
#   tests/run.sh --arm64          cross-build for aarch64 in a sysroot of its own, unit tests under qemu-user, and a worker
#                                 under it in a cluster of the release build
#   tests/run.sh --tidy           clang with thread-safety analysis, and clang-tidy; builds only
set -euo pipefail
cd "$(dirname "$0")/.."

jobs=$(nproc)
summaries=()

say() { printf '\n== %s\n' "$*"; }

fail() {
  printf 'tests/run.sh: %s\n' "$*" >&2
  exit 1
}

# build PRESET [TARGET]: configures a preset with its tests and builds everything in it, or only TARGET.
build() {
  local started=$SECONDS
  say "Building preset '$1' in build/$1 with $jobs jobs"
  cmake --preset "$1" -DPOTLUCK_TESTS=ON || fail "CMake could not configure preset '$1'"
  cmake --build "build/$1" --target "${2:-all}" -j "$jobs" || fail "preset '$1' does not build"
  echo "Built preset '$1' in $((SECONDS - started)) s."
}

# test_preset PRESET [CTEST_OPTION...]: runs the tests of a built preset and keeps CTest's summary line.
test_preset() {
  local log="build/$1/ctest.log"
  say "Testing preset '$1'"
  if ! ctest --test-dir "build/$1" --output-on-failure -j "$jobs" --no-tests=error "${@:2}" 2>&1 | tee "$log"; then
    fail "tests of preset '$1' failed (see above, or $log)"
  fi
  summaries+=("$1: $(grep 'tests passed' "$log")")
}

finish() {
  say "All of it in $((SECONDS / 60)) min $((SECONDS % 60)) s"
  printf '%s\n' "${summaries[@]}"
}

# fuzz_for SECONDS: what is found to be new is kept, so that the next run goes on from there.
fuzz_for() {
  local target name corpus inputs seeds dictionary
  build fuzz fuzzers
  for target in build/fuzz/*_fuzz; do
    [ -x "$target" ] || fail "there are no fuzz targets in build/fuzz"
    name=$(basename "$target")
    corpus="build/fuzz/corpus/$name"
    mkdir -p "$corpus"
    inputs=("$corpus")
    for seeds in "tests/fuzz/${name%_fuzz}"/corpus/; do [ -d "$seeds" ] && inputs+=("$seeds"); done
    for dictionary in "tests/fuzz/${name%_fuzz}"/*.dict; do [ -f "$dictionary" ] && inputs+=("-dict=$dictionary"); done
    say "$name for $1 s"
    "$target" -max_total_time="$1" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
      -artifact_prefix="$corpus-" "${inputs[@]}" || fail "$target found an input that breaks it (kept beside $corpus)"
  done
}

case "${1:-}" in
  "")
    deploy/install_dependencies.sh tests fuzz
    build release
    test_preset release
    build dev
    test_preset dev --label-exclude "lint|cluster"
    build fuzz fuzzers
    test_preset fuzz --label-regex fuzz
    finish
    ;;
  --quick)
    deploy/install_dependencies.sh tests
    build release
    test_preset release
    finish
    ;;
  --sanitizers)
    deploy/install_dependencies.sh tests
    for preset in dev tsan; do
      build "$preset"
      test_preset "$preset" --label-exclude "lint|cluster"
    done
    finish
    ;;
  --fuzz)
    [[ "${2:-}" =~ ^[1-9][0-9]*$ ]] || { echo "tests/run.sh: --fuzz takes a number of seconds" >&2; exit 2; }
    deploy/install_dependencies.sh tests fuzz
    fuzz_for "$2"
    ;;
  --arm64)
    deploy/install_dependencies.sh tests arm64
    deploy/arm64_sysroot.sh
    build arm64
    build release potluck  # the cluster that an arm64 worker joins
    test_preset arm64 --label-exclude lint
    finish
    ;;
  --tidy)
    deploy/install_dependencies.sh tests tidy
    build tidy
    ;;
  -h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    ;;
  *)
    echo "tests/run.sh: unknown option '$1' (--help lists them)" >&2
    exit 2
    ;;
esac
