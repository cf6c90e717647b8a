# The prelude of every check, apply and verify script. RW_DIR is set just before it.
set -euo pipefail
umask 077
export LC_ALL=C.UTF-8
export HOME="${HOME:-/root}"
export PATH="${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
satisfied() { exit 0; }
unsatisfied() { printf '%s\n' "${1:-unsatisfied}" >&2; exit 10; }
fail() { printf '%s\n' "${1:-failed}" >&2; exit 1; }
secret() {
  [ -r "$RW_DIR/secrets/${1:?secret NAME}" ] || fail "no secret named $1 reached this step"
  cat -- "$RW_DIR/secrets/$1"
}
