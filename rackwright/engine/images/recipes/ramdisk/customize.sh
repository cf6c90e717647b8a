# Turns a Debian root into the ramdisk. Runs outside the chroot; $1 is the root, $RW_RECIPE the
# recipe's folder. No unit may assemble, activate, mount or check a disk: a foreign disk stays
# byte-identical.
set -euo pipefail
root=$1

cp -R --no-preserve=mode,ownership "$RW_RECIPE/overlay/." "$root/"
chmod 0755 "$root"/usr/lib/rackwright/*
find "$root/etc/ssh/sshd_config.d" -type f -exec chmod 0600 {} +
ln -sf usr/lib/systemd/systemd "$root/init"
mkdir -p "$root/etc/rackwright"
touch "$root/etc/rackwright/ramdisk"

# Identity is made at boot, never shipped.
rm -f "$root"/etc/ssh/ssh_host_* "$root"/etc/nvme/host{id,nqn} "$root/etc/hostname" "$root/etc/resolv.conf"
: > "$root/etc/machine-id"
printf 'ramdisk\n' > "$root/etc/hostname"
printf '127.0.0.1 localhost\n::1 localhost\n' > "$root/etc/hosts"
: > "$root/etc/fstab"

# An sshd that penalises sources must not penalise the controller's many connections.
if grep -qai persourcepenaltyexemptlist "$root/usr/sbin/sshd"; then
  printf 'PerSourcePenaltyExemptList 0.0.0.0/0,::/0\n' >> "$root/etc/ssh/sshd_config.d/10-rackwright.conf"
fi

mask() { for unit; do ln -sf /dev/null "$root/etc/systemd/system/$unit"; done; }
rm -rf "$root"/etc/systemd/system/*.wants
mask lvm2-monitor.service lvm2-lvmpolld.socket lvm2-lvmpolld.service dm-event.socket \
  dm-event.service blk-availability.service mdmonitor.service mdmonitor-oneshot.timer \
  mdcheck_start.timer mdcheck_continue.timer mdadm-shutdown.service \
  nvmefc-boot-connections.service nvmf-autoconnect.service nvmf-connect.target \
  e2scrub_all.timer e2scrub_reap.service fstrim.timer swap.target \
  systemd-pstore.service ssh.socket systemd-networkd-wait-online.service \
  systemd-hwdb-update.service ldconfig.service systemd-firstboot.service \
  getty@tty1.service systemd-random-seed.service systemd-logind.service dev-hugepages.mount \
  dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount \
  modprobe@fuse.service modprobe@drm.service modprobe@loop.service systemd-user-sessions.service \
  serial-getty@.service
rm -f "$root"/usr/lib/systemd/system-generators/systemd-{gpt-auto,cryptsetup,veritysetup,integritysetup,hibernate-resume,fstab,system-update}-generator \
  "$root"/usr/lib/systemd/system-generators/lvm2-activation-generator

wants() { mkdir -p "$root/etc/systemd/system/$1.wants"; ln -sf "$2" "$root/etc/systemd/system/$1.wants/"; }
wants multi-user.target /lib/systemd/system/systemd-networkd.service
wants multi-user.target /etc/systemd/system/rackwright-contact.service
ln -sf /lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
ln -sf /lib/systemd/system/ssh.service "$root/etc/systemd/system/sshd.service"
if [ -e "$root/usr/sbin/lldpd" ]; then wants multi-user.target /lib/systemd/system/lldpd.service; fi
