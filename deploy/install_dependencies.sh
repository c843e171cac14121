#!/usr/bin/env bash
# Installs the Debian 12 packages that Potluck needs, and only those that are missing.
#
#   deploy/install_dependencies.sh [SET...]
#
# SET is any of: build (always included), tests, fuzz, tidy, arm64. With everything in place it neither needs
# root nor touches the network. This is the one list of packages; the other scripts call this one.
set -euo pipefail

packages_of() {
  case "$1" in
    build) echo g++ cmake ninja-build pkgconf libabsl-dev libpthreadpool-dev libcpuinfo-dev nlohmann-json3-dev \
                libcli11-dev libtomlplusplus-dev libpcre2-dev libutf8proc-dev libssl-dev libboost1.81-dev libprotobuf-dev \
                protobuf-compiler libgrpc++-dev protobuf-compiler-grpc prometheus-cpp-dev libjs-marked node-dompurify ;;
    tests) echo libgtest-dev libgmock-dev libbenchmark-dev git python3 binutils openssl python3-grpcio python3-protobuf clang-format-14 ccache chromium chromium-driver prometheus ;;
    fuzz) echo clang-14 libclang-rt-14-dev llvm-14 ;;
    tidy) echo clang-14 clang-tidy-14 ;;
    arm64) echo g++-aarch64-linux-gnu qemu-user ;;
    *) return 1 ;;
  esac
}

fail() {
  printf 'potluck: %s\n' "$@" >&2
  exit 1
}

is_installed() {
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

wanted=()
for set_name in build "$@"; do
  list=$(packages_of "$set_name") || fail "no set of packages is called '$set_name'; the sets are build, tests, fuzz, tidy, arm64"
  read -r -a names <<<"$list"
  wanted+=("${names[@]}")
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  fail "this is not a Debian system (no dpkg or no apt-get)." \
       "Install the equivalents of these Debian 12 packages and build with CMake: ${wanted[*]}"
fi

missing=()
for package in "${wanted[@]}"; do
  is_installed "$package" || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  exit 0
fi

release=$(. /etc/os-release && echo "${ID:-unknown} ${VERSION_ID:-unknown}")
if [ "$release" != "debian 12" ]; then
  fail "packages are missing: ${missing[*]}" \
       "They are installed for you on Debian 12 only, and this is $release. Install them by hand, then try again."
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null ||
    fail "packages are missing: ${missing[*]}" "Run this as root, or install sudo."
  as_root=(sudo)
fi

echo "potluck: installing ${#missing[@]} Debian packages: ${missing[*]}"
if ! "${as_root[@]}" apt-get update -q >/dev/null; then
  echo "potluck: apt-get update reported errors; going on with the package lists that are here" >&2
fi
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" </dev/null ||
  fail "apt-get could not install: ${missing[*]} (its reason is above)"

# A test starts its own: the package's service is not to run because of it.
if [[ " ${missing[*]} " == *" prometheus "* ]] && command -v systemctl >/dev/null; then
  "${as_root[@]}" systemctl disable --now prometheus >/dev/null 2>&1 || true
fi
