# Runs one step beside any connection. $1: the attempt's directory, $2: limit in seconds.
# It holds a lock on `alive` as long as it lives, and leaves the exit code in `exit` by rename.
umask 077
cd /
directory=$1 limit=$2
export HOME="${HOME:-/root}"
exec 7>>"$directory/alive"
flock 7

# The first MiB of a log as it comes, then its last 64 KiB: a log must not fill a tmpfs.
keep() {
  dd bs=65536 count=1048576 iflag=count_bytes status=none
  tail -c 65536
}
exec 5> >(exec 7>&-; keep >"$directory/stdout" 2>/dev/null)
out_log=$!
exec 6> >(exec 7>&- 5>&-; keep >"$directory/stderr" 2>/dev/null)
err_log=$!

timeout -k 10 "$limit" bash "$directory/script" </dev/null >&5 2>&6 5>&- 6>&- 7>&- &
child=$!
trap 'kill -TERM "$child" 2>/dev/null' TERM
printf '%s\n' "$child" >"$directory/child"
printf '%s\n' "$$" >"$directory/pid.tmp"
mv "$directory/pid.tmp" "$directory/pid"
while :; do
  wait "$child"
  status=$?
  kill -0 "$child" 2>/dev/null || break
done
exec 5>&- 6>&-
# A daemon that the step left behind may keep the logs open: they get two seconds.
for log in "$out_log" "$err_log"; do
  for _ in $(seq 40); do
    kill -0 "$log" 2>/dev/null || break
    sleep 0.05
  done
done
rm -rf "$directory/secrets" "$directory/script"
printf '%s\n' "$status" >"$directory/exit.tmp"
mv "$directory/exit.tmp" "$directory/exit"
