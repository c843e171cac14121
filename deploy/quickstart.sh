#!/usr/bin/env bash
# From a fresh Debian 12 to a first answer: installs what is missing (root or sudo), builds Potluck, and asks the
# demo model a question. Run again, it starts at once.
#
#   deploy/quickstart.sh [QUESTION]
set -euo pipefail
cd "$(dirname "$0")/.."

program=build/release/potluck
model=deploy/demo/potluck-demo-4m-q8_0.gguf
question=${1:-"What can I bring to a pot-luck?"}

say() { printf '\n== %s\n' "$*"; }

say "Debian packages: looking for what is missing"
deploy/install_dependencies.sh build

# Ninja does nothing where everything is up to date. An existing build keeps its own choice about tests.
if [ ! -f build/release/build.ninja ]; then
  say "Configuring a release build in build/release"
  mkdir -p build
  cmake --preset release -DPOTLUCK_TESTS=OFF >build/configure.log 2>&1 || {
    cat build/configure.log >&2
    echo "quickstart: CMake could not configure the build (its reason is above)" >&2
    exit 1
  }
fi
if [ ! -x "$program" ]; then
  say "Building Potluck with $(nproc) cores: a few minutes, this once"
fi
started=$SECONDS
ninja -C build/release --quiet potluck || {
  echo "quickstart: the build failed (its reason is above)" >&2
  exit 1
}
took=$((SECONDS - started))
if [ "$took" -gt 2 ]; then
  echo "Built $program in $((took / 60)) min $((took % 60)) s."
fi

say "potluck run $model \"$question\""
"$program" run "$model" "$question"

cat <<TXT

== What next
Hold a conversation (Ctrl-D ends it):
  $program run $model
Any GGUF file or Hugging Face folder of a supported architecture:
  $program run YOUR_MODEL.gguf "..."
What is in a model file, how fast this machine is, and everything else:
  $program inspect YOUR_MODEL.gguf
  $program bench $model
  $program --help
TXT
