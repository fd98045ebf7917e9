# What the scripts of this folder have in common that compile a program written in Go; sourced, never run. A script sets
# `name`, `program` (the file), `version` and `oldest` (the Go that it needs), and defines
#
#   compile DIR   leaves the program in DIR
#   about         its name and version, in a few words
#
# and ends with `go_program "$@"`.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here dist="$here/.cache/$name-$version"

say() { printf '%s: %s\n' "$name" "$*" >&2; }
die() { say "$*"; exit 1; }

install() {
  [ -x "$dist/$program" ] && return
  command -v go >/dev/null || die "missing: Go $oldest or newer. Install it with your system's packages: apt-get install -y golang"
  say "compiling $program of $name $version"
  # Put in its place when it is whole, so that a run cut short is begun anew.
  rm -rf "$dist.new" && mkdir -p "$dist.new" "$dist"
  compile "$dist.new"
  mv "$dist.new/$program" "$dist/$program"
  rm -rf "$dist.new"
  say "installed in $dist"
}

# The version of the main module that a program was compiled from.
go_version() { go version -m "$dist/$program" | awk '$1 == "mod" { print $3 }'; }

go_program() {
  case ${1:-} in
    install) install ;;
    up) install; printf '%s\n' "$dist/$program" ;;
    down) ;;
    about) install; about ;;
    *) sed -n '2,/^set -euo/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2 ;;
  esac
}
