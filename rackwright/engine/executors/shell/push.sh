# Takes one file from stdin. $1: its path, $2: its SHA-256. Exit 92: what arrived is something else.
set -eu
umask 077
mkdir -p "${1%/*}"
part="$1.part.$$"
trap 'rm -f "$part"' EXIT
cat >"$part"
echo "$2  $part" | sha256sum -c --status - || exit 92
mv "$part" "$1"
