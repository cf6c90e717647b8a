# Makes a Debian root fit to be written to any machine: no identity in it, a static-network stack,
# a boot loader prepared for BIOS (the signed one for UEFI is in its packages). Runs outside the
# chroot; $1 is the root, $RW_RECIPE the recipe's folder, $RW_BUNDLE the bundle's packages.
set -euo pipefail
root=$1

cp -R --no-preserve=mode,ownership "$RW_RECIPE/overlay/." "$root/"
find "$root/etc/ssh/sshd_config.d" -type f -exec chmod 0600 {} +

# The bundle: what apt would still download to add these packages to this very root.
mkdir -p "$root/rackwright-bundle/partial"
# shellcheck disable=SC2086  # a list of package names
APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get --yes --quiet=2 --no-install-recommends --download-only \
  -oAPT::Sandbox::User=root -oDir::Cache::Archives="$root/rackwright-bundle" \
  install $RW_BUNDLE
rm -rf "$root/rackwright-bundle/partial" "$root/rackwright-bundle/lock"
rm -f "$root/etc/apt/apt.conf.d/99mmdebstrap"

# BIOS boot code with every module that reading our grub.cfg needs; the EFI one comes signed.
boot=$root/usr/lib/rackwright/boot
mkdir -p "$boot"
chroot "$root" grub-mkimage --format=i386-pc --output=/usr/lib/rackwright/boot/core.img \
  --prefix='(,gpt3)/boot/grub' --compression=xz \
  biosdisk part_gpt ext2 search search_fs_uuid normal configfile linux echo test serial terminal \
  gzio minicmd reboot halt loadenv ls cat
cp "$root/usr/lib/grub/i386-pc/boot.img" "$boot/boot.img"
mkdir -p "$root/boot/grub" "$root/boot/efi"
ln -sfn /usr/lib/grub/i386-pc "$root/boot/grub/i386-pc"

if [ -z "$(compgen -G "$root/boot/initrd.img-*")" ]; then
  chroot "$root" update-initramfs -c -k all
fi

chroot "$root" systemctl --quiet enable systemd-networkd.service ssh.service systemd-timesyncd.service
chroot "$root" systemctl --quiet set-default multi-user.target
chroot "$root" systemctl --quiet disable e2scrub_reap.service
chroot "$root" systemctl --quiet mask systemd-firstboot.service systemd-hwdb-update.service
rm -f "$root"/etc/systemd/system/timers.target.wants/{e2scrub_all,dpkg-db-backup}.timer
# No password fits "*"; a "!" would refuse keys too where PAM is off.
chroot "$root" usermod --password '*' root

rm -f "$root"/etc/ssh/ssh_host_* "$root"/etc/nvme/host{id,nqn} "$root/etc/hostname" \
  "$root/etc/resolv.conf" "$root"/etc/machine-id "$root/var/lib/dbus/machine-id" \
  "$root"/var/lib/systemd/random-seed
: > "$root/etc/machine-id"
mkdir -p "$root/etc/rackwright"
