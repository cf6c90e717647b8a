# Is a pushed file there? $1: its path, $2: its SHA-256. Exit 0: yes, 10: no.
[ -f "$1" ] || exit 10
echo "$2  $1" | sha256sum -c --status - || exit 10
