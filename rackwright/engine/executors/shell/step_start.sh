# Claims an attempt's directory, takes its files from stdin and starts it as a unit of its own.
# Arguments: root authority epoch directory unit limit_s, then pairs of file name and size.
# Prints "started" or "attached", then the boot id.
# Exit 90: a newer controller owns this machine. 92: files cut off. 93: did not start.
# 96: an earlier attempt of the stage is still alive; its number is printed.
set -eu
umask 077
PATH="${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
root=$1 authority=$2 epoch=$3 directory=$4 unit=$5 limit=$6
shift 6
parent=${directory%/*}
mkdir -p "$root/epoch" "$parent"

exec 9>>"$root/epoch/.lock"
flock 9
newest=$(cat "$root/epoch/$authority" 2>/dev/null || echo 0)
if [ "$epoch" -lt "$newest" ]; then
  echo "$newest"
  exit 90
fi
printf '%s\n' "$epoch" >"$root/epoch/$authority.tmp"
mv "$root/epoch/$authority.tmp" "$root/epoch/$authority"
exec 9>&-

# The machine itself refuses a duplicate: mkdir is atomic, and who finds a launched step attaches.
mkdir "$directory" 2>/dev/null || [ -d "$directory" ]
exec 8>>"$directory/lock"
flock -w 30 8
boot=$(cat /proc/sys/kernel/random/boot_id)
if [ -e "$directory/launched" ]; then
  echo "attached $boot"
  exit 0
fi
for other in "$parent"/*/alive; do
  [ -e "$other" ] || continue
  [ "$other" != "$directory/alive" ] || continue
  if ! flock -n "$other" true; then
    other=${other%/alive}
    echo "${other##*/}"
    exit 96
  fi
done

mkdir -p "$directory/secrets"
while [ "$#" -gt 0 ]; do
  head -c "$2" >"$directory/$1"
  [ "$(stat -c %s "$directory/$1")" = "$2" ] || exit 92
  shift 2
done
# From here on a second start only attaches, also when this shell dies now: lost is not started.
: >"$directory/launched"
shell=$(command -v bash)
if [ -d /run/systemd/system ] && command -v systemd-run >/dev/null; then
  systemd-run --quiet --collect --no-ask-password --unit="$unit" \
    --description="rackwright step $unit" \
    --property=KillMode=mixed --property=TimeoutStopSec=20 \
    -- "$shell" "$directory/wrapper" "$directory" "$limit" \
    </dev/null >/dev/null 2>"$directory/launch" 8>&- || { cat "$directory/launch" >&2; exit 93; }
else
  setsid "$shell" "$directory/wrapper" "$directory" "$limit" \
    </dev/null >/dev/null 2>&1 4<&- 8>&- &
fi
for _ in $(seq 300); do
  if [ -e "$directory/pid" ] || [ -e "$directory/exit" ]; then
    echo "started $boot"
    exit 0
  fi
  sleep 0.05
done
echo "the step's wrapper did not start" >&2
exit 93
