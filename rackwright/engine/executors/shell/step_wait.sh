# Waits for a step without polling: its wrapper holds the lock on `alive` until it ends.
# $1: the attempt's directory. stdout: the step's output as it comes. stderr: lines of the protocol:
# "boot ID", then "exit CODE" (and the last lines of the step's stderr), "lost" or "absent".
set -u
directory=$1
echo "boot $(cat /proc/sys/kernel/random/boot_id)" >&2
if [ ! -e "$directory/launched" ]; then
  echo absent >&2
  exit 0
fi
if [ -e "$directory/exit" ]; then
  tail -q -n 60 "$directory/stdout" "$directory/stderr" 2>/dev/null
else
  for _ in $(seq 300); do
    { [ -e "$directory/pid" ] || [ -e "$directory/exit" ]; } && break
    sleep 0.05
  done
  touch "$directory/stdout" "$directory/stderr"
  tail -q -n 60 -f "$directory/stdout" "$directory/stderr" 2>/dev/null &
  follower=$!
  flock -s "$directory/alive" true
  sleep 0.2
  kill "$follower" 2>/dev/null
  wait "$follower" 2>/dev/null
fi
if [ ! -e "$directory/exit" ]; then
  echo lost >&2
else
  echo "exit $(cat "$directory/exit")" >&2
  tail -c 8192 "$directory/stderr" >&2 2>/dev/null
fi
# The directory stays, empty but for its outcome: it refuses a late duplicate until the next boot.
rm -rf "$directory/secrets" "$directory/script" "$directory/stdout" "$directory/stderr" \
  "$directory/wrapper" "$directory/launch"
exit 0
