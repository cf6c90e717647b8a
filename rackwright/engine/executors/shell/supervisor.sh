# Runs one script read from stdin. $1: its length in bytes, $2: limit in seconds, $3: lifeline or
# payload; then the script's arguments. The length guards against a stdin cut off half way.
# lifeline: stdin stays open as long as the controller cares; its end kills the script's session.
# payload: the rest of stdin is the script's stdin, which must check what it read.
# Neither secrets nor the script are in an argument: everything here shows up in `ps`.
LC_ALL=C
umask 077
size=$1 limit=$2 mode=$3
shift 3
exec 4<&0 </dev/null
script=$(head -c "$size" <&4; printf .)
if [ "${#script}" -ne "$((size + 1))" ]; then
  echo "the script arrived cut off" >&2
  exit 125
fi
script=${script%.}
if [ "$mode" = payload ]; then
  exec timeout -k 5 "$limit" bash <(printf %s "$script") "$@" <&4 4<&-
fi
setsid timeout -k 5 "$limit" bash <(printf %s "$script") "$@" </dev/null 4<&- &
child=$!
(
  while read -r -u 4 _; do :; done
  kill -TERM -- "-$child"
  sleep 3
  kill -KILL -- "-$child"
) >/dev/null 2>&1 &
guard=$!
disown "$guard" # or bash reports its end on the script's stderr
exec 4<&-
wait "$child"
status=$?
kill -KILL "$guard" 2>/dev/null
exit "$status"
