# Reboots this machine, a moment after this shell has answered.
set -u
sync
if command -v systemctl >/dev/null && [ -d /run/systemd/system ]; then
  systemctl --no-block reboot && exit 0
fi
command -v reboot >/dev/null || exit 127
setsid sh -c 'sleep 1; reboot -f' </dev/null >/dev/null 2>&1 &
exit 0
