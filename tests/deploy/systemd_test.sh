#!/usr/bin/env bash
# deploy/systemd/: systemd finds nothing wrong with the units, and the program ($POTLUCK) understands what they start.
set -uo pipefail
units=$(cd "$(dirname "$0")/../.." && pwd)/deploy/systemd
: "${POTLUCK:?the program to test}"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failures=0

failed() {
  printf 'FAILED: %s\n%s\n' "$1" "$output"
  failures=$((failures + 1))
}

# With what they start and read in this folder.
: >"$folder/worker.toml"
printf 'ctx = 4096\nlan = true\nMODEL = ["/srv/models/a.gguf"]\n' >"$folder/up.toml"
for unit in potluck-coordinator potluck-worker; do
  sed "s#/usr/local/bin/potluck#$POTLUCK#; s#/etc/potluck/#$folder/#; s#%d/#$folder/#" "$units/$unit.service" \
    >"$folder/$unit.service"
  command=$(sed -n 's/^ExecStart=//p' "$folder/$unit.service")
  output=$($command --print-config 2>&1) || failed "$unit: the program does not understand: $command"
  [ "$unit" = potluck-worker ] || [[ "$output" == *"ctx = 4096"* ]] || failed "$unit: up.toml is not read"
done

if ! command -v systemd-analyze >/dev/null; then
  echo "SKIPPED: there is no systemd-analyze here"
  exit "$((failures > 0 ? 1 : 77))"
fi
for unit in potluck-coordinator potluck-worker; do
  output=$(systemd-analyze verify "$folder/$unit.service" 2>&1)
  [ $? -eq 0 ] && [ -z "$output" ] || failed "$unit: systemd finds fault with it"
done
# That it does look.
sed 's/^Restart=always/Restart=perhaps/' "$folder/potluck-worker.service" >"$folder/wrong.service"
output=$(systemd-analyze verify "$folder/wrong.service" 2>&1)
[ -n "$output" ] || failed "systemd finds no fault with a wrong unit"
exit "$((failures > 0))"
