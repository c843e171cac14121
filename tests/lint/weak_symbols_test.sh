#!/bin/sh
# Usage: weak_symbols_test.sh NM OBJECT...
# Fails on any weak symbol in object files that were compiled for one instruction set: the linker could choose such
# a copy for every caller, and an older CPU would then meet an instruction that it lacks.
nm=$1
shift
[ $# -gt 0 ] || { echo "no object files given" >&2; exit 1; }
status=0
for object in "$@"; do
  symbols=$("$nm" -C "$object") || exit 1
  # V and W: weak, defined; u: unique, which merges likewise. Lower-case v and w are only asked for.
  weak=$(printf '%s\n' "$symbols" | grep -E '^[0-9a-f]+ [VWu] ')
  if [ -n "$weak" ]; then
    printf '%s defines weak symbols:\n%s\n' "$object" "$weak" >&2
    status=1
  fi
done
exit $status
