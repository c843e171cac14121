#!/usr/bin/env bash
# Makes the folder that the `arm64` preset compiles against and that qemu-user finds its libraries in.
#
#   deploy/arm64_sysroot.sh [FOLDER]       (default: $POTLUCK_ARM64_SYSROOT, else build/arm64-sysroot)
#
# Debian's arm64 -dev packages cannot be installed beside amd64's, so they are downloaded with package lists of their
# own, from the system's own sources (its apt state is left alone, root is not needed), and unpacked. Run again, it returns at once.
set -euo pipefail
cd "$(dirname "$0")/.."

sysroot=${1:-${POTLUCK_ARM64_SYSROOT:-$PWD/build/arm64-sysroot}}
packages=(libc6-dev libstdc++-12-dev libabsl-dev libpthreadpool-dev libcpuinfo-dev nlohmann-json3-dev libcli11-dev
          libtomlplusplus-dev libpcre2-dev libutf8proc-dev libssl-dev libboost1.81-dev libprotobuf-dev libgrpc++-dev
          protobuf-compiler-grpc prometheus-cpp-dev libgtest-dev libgmock-dev)

fail() {
  printf 'arm64_sysroot: %s\n' "$*" >&2
  exit 1
}

[ -n "$sysroot" ] && [ "$sysroot" != / ] || fail "the folder may not be '$sysroot'"
if [ "$(cat "$sysroot/complete" 2>/dev/null)" = "${packages[*]}" ]; then
  exit 0
fi
command -v apt-get >/dev/null && command -v dpkg >/dev/null || fail "needs apt-get and dpkg (Debian 12)"

state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT
mkdir -p "$state"/{lists/partial,cache/archives/partial,log,debs}
: >"$state/status"
# The empty status file makes apt plan as if nothing were installed: the whole closure, in arm64.
apt_options=(-q -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Install-Recommends=false
  -o APT::Sandbox::User="$(id -un)" -o Dir::State="$state" -o Dir::State::Lists="$state/lists"
  -o Dir::State::status="$state/status" -o Dir::Cache="$state/cache" -o Dir::Log="$state/log"
  -o Debug::NoLocking=true)

echo "arm64_sysroot: fetching Debian 12's package lists for arm64"
apt-get "${apt_options[@]}" update >/dev/null ||
  echo "arm64_sysroot: apt-get update reported errors; going on with the lists that it could fetch" >&2

echo "arm64_sysroot: downloading ${packages[*]} and what they depend on"
apt-get "${apt_options[@]}" install -y --download-only "${packages[@]}" >/dev/null </dev/null ||
  fail "apt-get could not download the packages (its reason is above)"

echo "arm64_sysroot: unpacking into $sysroot"
rm -rf "$sysroot"
mkdir -p "$sysroot"
for deb in "$state"/cache/archives/*.deb; do
  dpkg -x "$deb" "$sysroot" || fail "could not unpack $(basename "$deb")"
done
# Absolute links point out of the sysroot: make them relative to it.
find "$sysroot" -type l -lname '/*' -print0 | while IFS= read -r -d '' link; do
  ln -snf -r "$sysroot$(readlink "$link")" "$link"
done
printf '%s' "${packages[*]}" >"$sysroot/complete"
echo "arm64_sysroot: $(du -sh "$sysroot" | cut -f1) in $sysroot"
