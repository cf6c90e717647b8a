# Ends every process that Ansible started here for a play, and what those started. $@: markers.
# They are known by their environment: a service that a task had systemd start is none of them.
set -u
patterns=()
for marker in "$@"; do
  patterns+=(-e "RACKWRIGHT_PLAY=$marker")
done
clean=0
for ((round = 0; round < 60; round++)); do
  mapfile -t pids < <(grep -lzxF "${patterns[@]}" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3)
  if [ ${#pids[@]} -eq 0 ]; then
    # twice: a command that was on its way may start in between
    clean=$((clean + 1))
    [ $clean -lt 2 ] || break
    sleep 0.3
    continue
  fi
  clean=0
  signal=TERM
  [ $round -lt 8 ] || signal=KILL
  kill -s $signal -- "${pids[@]}" 2>/dev/null
  sleep 0.25
done
[ $clean -ge 2 ] || exit 1
for marker in "$@"; do
  rm -rf "/run/rackwright/ansible-$marker"
done
exit 0
