# Follows the machine's log: what a person would see on its console.
if command -v journalctl >/dev/null; then
  exec journalctl --no-pager -q -o short-monotonic -n 20 -f
fi
exec dmesg -w
