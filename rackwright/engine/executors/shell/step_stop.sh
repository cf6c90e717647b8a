# Ends a step and what it started. $1: the attempt's directory, $2: its unit.
set -u
directory=$1 unit=$2
if [ -e "$directory/alive" ] && ! flock -n "$directory/alive" true; then
  if [ -d /run/systemd/system ] && systemctl is-active --quiet "$unit.service"; then
    systemctl stop "$unit.service"
  else
    kill -TERM "$(cat "$directory/pid")" 2>/dev/null
    if ! flock -w 20 -s "$directory/alive" true; then
      kill -KILL -- "-$(cat "$directory/child")" "-$(cat "$directory/pid")" 2>/dev/null
    fi
  fi
  flock -w 20 -s "$directory/alive" true || exit 1
fi
rm -rf "$directory/secrets" "$directory/script"
[ ! -d "$directory" ] || [ -e "$directory/exit" ] || echo 143 >"$directory/exit"
exit 0
