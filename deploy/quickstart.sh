#!/usr/bin/env bash
# From a fresh Debian 12 to a first answer by a cluster: installs what is missing (root or sudo), builds Potluck,
# starts a coordinator and two workers on this machine, and asks the demo model a question. Run again, it starts at
# once, or asks the cluster that still runs.
#
#   deploy/quickstart.sh [--port N] [QUESTION]   HTTP on 127.0.0.1:N, workers on N+1 (default 7070)
#   deploy/quickstart.sh --stop                  ends the cluster that it started
#
# POTLUCK=PROGRAM takes that program and builds nothing. Keys, weights and logs lie in a folder of their own,
# $XDG_STATE_HOME/potluck-quickstart (else ~/.local/state/potluck-quickstart), apart from your own cluster's.
set -euo pipefail
script=$(realpath -- "$0")
[ -z "${POTLUCK:-}" ] || POTLUCK=$(realpath -- "$POTLUCK")
cd "$(dirname "$script")/.."

model=deploy/demo/potluck-demo-4m-q8_0.gguf
name=potluck-demo-4m-q8_0
home=${XDG_STATE_HOME:-$HOME/.local/state}/potluck-quickstart
patience=120 # seconds until the cluster must be ready
port=7070
stop=
question="What can I bring to a pot-luck?"
roles=(coordinator first second)

say() { printf '\n== %s\n' "$*"; }
fail() {
  printf 'quickstart: %s\n' "$@" >&2
  exit 1
}

while [ $# -gt 0 ]; do
  case "$1" in
    --port)
      port=${2:-}
      [[ "$port" =~ ^[0-9]{1,5}$ ]] && [ "$port" -ge 1024 ] && [ "$port" -le 65534 ] ||
        fail "--port takes a number from 1024 to 65534"
      shift 2
      ;;
    --stop) stop=yes && shift ;;
    -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$script" && exit ;;
    -*) fail "there is no option $1 (--help lists them)" ;;
    *) question=$1 && shift ;;
  esac
done

# The process of a role, if it runs: a number that another program has by now is none of ours.
process_of() {
  local pid
  pid=$(cat "$home/$1.pid" 2>/dev/null) && [ -n "$pid" ] &&
    tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qxF -- "$home/state" && echo "$pid"
}

is_running() { process_of "$1" >/dev/null; }

# The coordinator first: then nobody waits for layers to move.
stop_all() {
  local role pid
  for role in "${roles[@]}"; do
    pid=$(process_of "$role") || continue
    kill -TERM "$pid" 2>/dev/null || true
    for _ in $(seq 100); do
      is_running "$role" || break
      sleep 0.1
    done
    if is_running "$role"; then kill -KILL "$pid" 2>/dev/null || true; fi
  done
  for role in "${roles[@]}"; do rm -f "$home/$role.pid"; done
}

if [ -n "$stop" ]; then
  if ! is_running coordinator && ! is_running first && ! is_running second; then
    echo "No quickstart cluster runs."
    exit 0
  fi
  stop_all
  echo "The quickstart cluster has ended. Its keys, weights and logs are in $home."
  exit 0
fi

if [ -n "${POTLUCK:-}" ]; then
  program=$POTLUCK
else
  program=build/release/potluck
  say "Debian packages: looking for what is missing"
  deploy/install_dependencies.sh build

  # Ninja does nothing where everything is up to date. An existing build keeps its own choice about tests.
  if [ ! -f build/release/build.ninja ]; then
    say "Configuring a release build in build/release"
    mkdir -p build
    cmake --preset release -DPOTLUCK_TESTS=OFF >build/configure.log 2>&1 || {
      cat build/configure.log >&2
      fail "CMake could not configure the build (its reason is above)"
    }
  fi
  if [ ! -x "$program" ]; then
    say "Building Potluck with $(nproc) cores: some minutes, this once"
  fi
  started=$SECONDS
  ninja -C build/release --quiet potluck || fail "the build failed (its reason is above)"
  took=$((SECONDS - started))
  if [ "$took" -gt 2 ]; then
    echo "Built $program in $((took / 60)) min $((took % 60)) s."
  fi
fi
[ -x "$program" ] || fail "there is no program $program"

# Starts a role for good; what it says goes to its log.
start() {
  local role=$1
  shift
  : >"$home/$role.log" # here: nobody may read in it what an earlier one said
  XDG_STATE_HOME="$home" setsid nohup "$program" "$@" --state-dir "$home/state" --cache-dir "$home/cache" \
    </dev/null >>"$home/$role.log" 2>&1 &
  echo "$!" >"$home/$role.pid"
}

# Whether a process that we started has ended.
has_ended() {
  local stat
  read -r stat 2>/dev/null <"/proc/$(cat "$home/$1.pid")/stat" || return 0
  [[ "$stat" == *") Z "* ]]
}

# Waits until the command succeeds; fails with the end of the log of whoever has ended meanwhile.
wait_until() {
  local what=$1 role until=$((SECONDS + patience))
  shift
  until "$@"; do
    for role in "${started_roles[@]}"; do
      has_ended "$role" || continue
      fail "the $role ended while we waited until $what. The end of $home/$role.log:" "$(tail -n 3 "$home/$role.log")"
    done
    [ "$SECONDS" -lt "$until" ] || fail "waited ${patience} s in vain until $what; see the logs in $home"
    sleep 0.1
  done
}

has_join_line() { grep -q 'potluck join' "$home/coordinator.log"; }
two_workers() {
  [ "$("$program" status --url "$url" --json 2>/dev/null | grep -c '"state": "ready"')" = 2 ]
}
is_ready() {
  local line
  { exec 3<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null || return 1
  printf 'GET /health HTTP/1.0\r\n\r\n' >&3
  read -r line <&3 || line=
  exec 3>&-
  [[ "$line" == *" 200 "* ]]
}

url=$(cat "$home/url" 2>/dev/null || true)
if is_running coordinator && is_running first && is_running second && [ -n "$url" ]; then
  port=${url##*:}
  started_roles=("${roles[@]}")
  say "A quickstart cluster runs already, at $url"
  wait_until "it is ready" is_ready
else
  stop_all # what is left of one
  umask 077
  mkdir -p "$home"
  rm -f "$home/state/coordinator/cluster.json" # models are loaded below, once both workers are there
  url=http://127.0.0.1:$port
  echo "$url" >"$home/url"
  say "Starting a coordinator and two workers on this machine"
  cat <<TXT
This is only to show a cluster: --spread uses both workers. On one machine, one process would be faster.
Logs and keys: $home
TXT
  trap 'stop_all' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  started_roles=(coordinator)
  start coordinator up --no-worker --http "127.0.0.1:$port" --listen "127.0.0.1:$((port + 1))" --cluster-name quickstart
  wait_until "it listens (--port N takes another port)" has_join_line
  sed -n 's/.*potluck join \(.*\)/\1/p' "$home/coordinator.log" >"$home/join"
  threads=$(($(nproc) / 2 > 0 ? $(nproc) / 2 : 1))
  for role in first second; do
    start "$role" join --join-file "$home/join" --name "$role" -t "$threads" --drain-timeout 1s
    started_roles+=("$role")
  done
  wait_until "both workers have joined" two_workers
  "$program" load "$PWD/$model" --spread --url "$url"
  wait_until "the model is ready" is_ready
fi

say "potluck run $name \"$question\" --url $url"
"$program" run "$name" "$question" --url "$url" || fail "the cluster gave no answer; see the logs in $home"
trap - EXIT

cat <<TXT

== The cluster goes on running
Who is in it, with which layers; and how fast it ought to be, beside how fast it is:
  $program status --url $url
  $program plan --check --url $url
HTTP, as OpenAI's clients speak it (logs: $home):
  $url/v1
End it:
  deploy/quickstart.sh --stop

== What next
A cluster of your own, open to your network; it prints the line with which each further device joins:
  $program up YOUR_MODEL.gguf --lan
Any GGUF file or Hugging Face folder of a supported architecture, on this machine alone:
  $program run YOUR_MODEL.gguf "..."
What is in a model file, how fast this machine is, and everything else:
  $program inspect YOUR_MODEL.gguf
  $program bench $model
  $program --help
TXT
