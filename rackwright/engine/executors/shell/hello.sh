# What a fresh connection asks: the boot id, then os-release.
cat /proc/sys/kernel/random/boot_id
cat /etc/os-release 2>/dev/null || cat /usr/lib/os-release 2>/dev/null || true
