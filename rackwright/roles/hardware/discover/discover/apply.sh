# Waits until the kernel has found what there is to find; changes nothing.
[ -e /etc/rackwright/ramdisk ] || fail "this is not the ramdisk: discovery runs there only"

udevadm settle --timeout=60 || printf 'devices are still appearing after 60 s; reading what is there\n' >&2

# Switches send an LLDP frame every 30 s; the machine has been up for part of that already.
if command -v lldpcli > /dev/null; then
  deadline={{ params.lldp_wait_s | q }}
  while ((SECONDS < deadline)) && [ "$(lldpcli -f json0 show neighbors | jq '[.. | .interface? // empty] | length')" = 0 ]; do
    sleep 1
  done
fi
