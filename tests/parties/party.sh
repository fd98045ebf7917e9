# What the scripts of this folder have in common that bring a counterpart up; sourced, never run. A script sets `name`,
# `variable` (the beginning of its settings' names), `default_port`, `packages` (tool → Debian package), and defines
#
#   install   fetches what is missing, into "$cache"
#   serve     leaves in `run` what starts the server on "$port" and stays in the foreground
#   answers   whether it answers
#   about     its name and version, in a few words
#
# and ends with `party "$@"`. Settings and options are the same for all: PORT, DATA, WAIT.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here cache="$here/.cache" npm="$here/.cache/npm"

say() { printf '%s: %s\n' "$name" "$*" >&2; }
die() { say "$*"; exit 1; }
url() { printf 'http://127.0.0.1:%s\n' "$port"; }
setting() { local of="${variable}_$1"; printf '%s' "${!of:-$2}"; }

# Names what is missing, with the command that brings it; runs that command only on a throw-away machine.
need() {
  local missing=() tool
  for tool in "$@"; do
    case $tool in
      python3-venv) python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv) ;;
      *) command -v "$tool" >/dev/null || missing+=("${packages[$tool]:-$tool}") ;;
    esac
  done
  [ ${#missing[@]} -eq 0 ] && return
  local command="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
  [ "${CI:-}" = true ] || die "missing: ${missing[*]}. Install with: $command"
  say "CI=true: $command"
  DEBIAN_FRONTEND=noninteractive bash -c "$command" >&2
}

# The npm packages of package-lock.json, once, in "$npm". Two scripts share them.
npm_packages() {
  local lock
  lock=$(cat "$here/package.json" "$here/package-lock.json" | sha256sum | cut -d' ' -f1)
  [ "$(cat "$npm/installed" 2>/dev/null)" = "$lock" ] && return
  need node npm
  say "fetching npm packages"
  rm -rf "$npm" && mkdir -p "$npm"
  cp "$here/package.json" "$here/package-lock.json" "$npm/"
  npm --prefix "$npm" ci --no-audit --no-fund --loglevel=error >&2
  # The last step, so that a run cut short is begun anew.
  printf '%s\n' "$lock" >"$npm/installed"
}

# The version of an npm package that is installed.
npm_version() { node -p "require('$npm/node_modules/$1/package.json').version"; }

# The process that `up` started, if it still is that process.
running() {
  [ -s "$data/pid" ] || return 1
  pid=$(cat "$data/pid")
  # The id may have been given to another process since; only one that was started for this folder is ours.
  { tr '\0' '\n' <"/proc/$pid/environ" | grep -qxF "EVIDENCED_PARTY=$data"; } 2>/dev/null
}

up() {
  need curl
  install
  if running && answers; then say "already up: $(url)"; url; return; fi
  running && down
  answers && die "port $port is taken by something else; choose another with --port"
  mkdir -p "$data"
  serve
  EVIDENCED_PARTY="$data" setsid "${run[@]}" >"$data/log" 2>&1 </dev/null &
  local child=$!
  echo "$child" >"$data/pid"
  local started=$SECONDS
  until answers; do
    kill -0 "$child" 2>/dev/null || { tail -n 20 "$data/log" >&2; die "the server ended; its log is $data/log"; }
    [ $((SECONDS - started)) -lt "$wait_seconds" ] || { down; die "no answer in $wait_seconds s; log: $data/log"; }
    sleep 0.2
  done
  say "$(about) is up after $((SECONDS - started)) s; log: $data/log"
  url
}

down() {
  running || { say "not running"; rm -f "$data/pid"; return; }
  # Its whole group: a server may be more than one process.
  kill -TERM -- "-$pid" 2>/dev/null || true
  local i
  for i in $(seq 100); do kill -0 -- "-$pid" 2>/dev/null || break; sleep 0.1; done
  kill -KILL -- "-$pid" 2>/dev/null || true
  rm -f "$data/pid"
  say "down"
}

party() {
  local command=${1:-}
  [ $# -gt 0 ] && shift
  port=$(setting PORT "$default_port") data=$(setting DATA '') wait_seconds=$(setting WAIT 90)
  while [ $# -gt 0 ]; do
    case $1 in
      --port) port=$2; shift 2 ;;
      --data) data=$2; shift 2 ;;
      --wait) wait_seconds=$2; shift 2 ;;
      *) die "unknown option $1; see the head of this file" ;;
    esac
  done
  data=${data:-$cache/$name-data-$port}
  mkdir -p "$(dirname "$data")" && data=$(cd "$(dirname "$data")" && pwd)/$(basename "$data")
  case $command in
    install) install ;;
    up) up ;;
    down) down ;;
    url) url ;;
    status) if running && answers; then echo up; else echo down; exit 1; fi ;;
    log) cat "$data/log" ;;
    about) install; about; printf '\n' ;;
    *)
      if declare -F "also_$command" >/dev/null; then "also_$command"; return; fi
      sed -n '2,/^set -euo/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2
      exit 2 ;;
  esac
}
