# Writes the image to the planned drive. Runs in the ramdisk; safe to run again after any
# interruption: each run starts from the identity checks and writes everything anew. The boot loader
# comes last, so that a half-written drive boots nothing.
{% if not erase %}
fail "the plan holds no accepted erasure for this machine"
{% else %}
{% set image = artifacts[params.image] %}
{% set rootfs = image.files['rootfs.ext4.zst'] %}
{% set about = image.files['image.json'] %}

step() { printf '%4d s  %s\n' "$SECONDS" "$*" >&2; }

mnt=/run/rackwright-install/root
marker_id={{ erase.install_id | q }}
want_machine={{ machine.id | q }}
want_serial={{ erase.drive_serial | q }}
want_wwn={{ erase.drive_wwn | q }}
want_bytes={{ erase.size_bytes | q }}
want_sector={{ erase.sector_bytes | q }}
pxe_mac={{ machine.pxe_mac | lower | q }}
console={{ machine.console | q }}
cmdline={{ params.kernel_cmdline | q }}
image={{ params.image | q }}
root_size={{ params.root_size | q }}
esp_mib=300
firmware=bios
[ -d /sys/firmware/efi ] && firmware=uefi

# -- who and where ------------------------------------------------------------------------------

# Identity is read again from the machine itself, right before anything is written.
check_machine() {
  local dmi=/sys/class/dmi/id
  [ -e /etc/rackwright/ramdisk ] || fail "this is not the ramdisk: refusing to write"
  [ "$(cat /run/rackwright/machine)" = "$want_machine" ] \
    || fail "the ramdisk was booted as $(cat /run/rackwright/machine), not as $want_machine"
  ip -json link | jq -e --arg mac "$pxe_mac" 'any(.[]; .address == $mac or .permaddr == $mac)' \
    > /dev/null || fail "no interface here has the MAC $pxe_mac: this is another machine"
{% if machine.uuid %}
  same_uuid "$dmi/product_uuid" {{ machine.uuid | q }} \
    || fail "product_uuid is not the enrolled one: this is another machine"
{% endif %}
{% if machine.serial %}
  same_text "$dmi/product_serial" {{ machine.serial | q }} \
    || fail "product_serial is not the enrolled one: this is another machine"
{% endif %}
}

# Some firmware gives the first three fields in the other byte order (SMBIOS 3.x, section 7.2.1).
same_uuid() {
  local have want swapped
  have=$(tr -d '\0-' < "$1")
  want=${2//-/}
  swapped=${want:6:2}${want:4:2}${want:2:2}${want:0:2}${want:10:2}${want:8:2}${want:14:2}${want:12:2}${want:16}
  [ "${have,,}" = "${want,,}" ] || [ "${have,,}" = "${swapped,,}" ]
}

same_text() {
  local have want=$2
  have=$(tr -d '\0' < "$1")
  [ "${have,,}" = "${want,,}" ]
}

# Prints the kernel name of the one drive that the plan named. Paths to one drive count once.
find_drive() {
  local found
  [ -n "$want_serial$want_wwn" ] || fail "the plan names neither serial nor WWN of the drive"
  found=$(lsblk --json --bytes --nodeps --output NAME,SERIAL,WWN,SIZE,LOG-SEC,RM,RO,TYPE \
    | jq -c --arg serial "$want_serial" --arg wwn "$want_wwn" '
        def text: (. // "") | gsub("^\\s+|\\s+$"; "");
        [.blockdevices[] | select(.type == "disk" and .size > 0)
         | {name, size, sector: ."log-sec", rm, ro, serial: (.serial | text), wwn: (.wwn | text)}
         | select(.serial == $serial and .wwn == $wwn)]
        | group_by(if .wwn != "" then .wwn else .name end) | map(.[0])')
  case $(jq length <<< "$found") in
    1) ;;
    0) fail "no drive here has serial '$want_serial' and WWN '$want_wwn': refusing to write" ;;
    *) fail "several drives have serial '$want_serial': refusing to choose" ;;
  esac
  jq -e --argjson bytes "$want_bytes" '.[0].size == $bytes' <<< "$found" > /dev/null \
    || fail "drive $want_serial has $(jq '.[0].size' <<< "$found") bytes, planned were $want_bytes"
  jq -e --argjson sector "$want_sector" '.[0].sector == $sector' <<< "$found" > /dev/null \
    || fail "drive $want_serial has sectors of $(jq '.[0].sector' <<< "$found") bytes, planned were $want_sector"
  jq -e '.[0].rm | not' <<< "$found" > /dev/null || fail "drive $want_serial is removable: refusing to write"
  jq -e '.[0].ro | not' <<< "$found" > /dev/null || fail "drive $want_serial is read-only"
  jq -r '.[0].name' <<< "$found"
}

partitions() {
  local path
  for path in /sys/class/block/"$drive"/*/partition; do
    [ -e "$path" ] && basename "$(dirname "$path")"
  done
  return 0
}

partition() {
  local path
  for path in /sys/class/block/"$drive"/*/partition; do
    [ "$(cat "$path" 2>/dev/null)" = "$1" ] || continue
    printf '/dev/%s\n' "$(basename "$(dirname "$path")")"
    return 0
  done
  fail "partition $1 of $disk did not appear"
}

# -- the drive ----------------------------------------------------------------------------------

leave_mounts() {
  local try
  for try in 1 2 3 4 5; do
    mountpoint -q "$mnt" || return 0
    umount -R "$mnt" 2>/dev/null || sleep 1
  done
  fail "an earlier attempt still holds $mnt"
}

check_unused() {
  local name
  for name in "$drive" $(partitions); do
    [ -z "$(ls "/sys/class/block/$name/holders")" ] || fail "/dev/$name is in use (md, LVM or multipath)"
    ! grep -q "^/dev/$name " /proc/mounts || fail "/dev/$name is mounted"
  done
}

# Zeros are written by the drive where it can, and by the kernel where not.
zero() {
  local device=$1 offset=$2 length=$3
  blkdiscard --force --zeroout --offset "$offset" --length "$length" "$device" 2> "$RW_DIR/zero" \
    || fail "zeroing $device: $(tail -n1 "$RW_DIR/zero")"
}

wipe_signatures() {
  local name edge=$((16 << 20))
  for name in $(partitions); do
    wipefs --all --quiet --force "/dev/$name"
  done
  wipefs --all --quiet --force "$disk"
  zero "$disk" 0 "$edge"
  zero "$disk" "$((want_bytes - edge))" "$edge"
}

# BIOS boot, EFI system and root: always all three, so that either firmware starts the drive.
partition_drive() {
  local rest=""
  [ -z "$root_size" ] || rest="size=$root_size, "
  sfdisk --quiet --lock=yes --wipe always --wipe-partitions always "$disk" << TABLE
label: gpt
start=1MiB, size=1MiB, type=21686148-6449-6E6F-744E-656564454649, name="bios"
size=${esp_mib}MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name="esp"
${rest}type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name="root"
TABLE
  udevadm settle --timeout=30
}

fetch() {
  curl --fail --silent --show-error --noproxy '*' --connect-timeout 10 \
    --speed-limit 4096 --speed-time 60 "$@"
}

# A whole file to stdout. A controller that dies and is started again costs no erasure: each request
# goes on where the last one broke off. An answer that refuses (curl's 22) is not asked for again.
stream() {
  local url=$1 size=$2 got=0 code part patience_s=180
  local until=$((SECONDS + patience_s))
  while ((got < size)); do
    code=0
    fetch --range "$got-" --write-out '%{stderr}\n%{size_download}' "$url" 2> "$RW_DIR/said" || code=$?
    part=$(tail -n 1 "$RW_DIR/said")
    ((part == 0)) || until=$((SECONDS + patience_s))
    got=$((got + part))
    ((got < size)) || break
    ((code != 22 && SECONDS < until)) || { head -n -1 "$RW_DIR/said" >&2; return 1; }
    step "the image broke off after $got of $size bytes: going on"
    sleep 2
  done
}

read_about() {
  fetch --retry 20 --retry-delay 3 --retry-connrefused {{ about.url | q }} > "$RW_DIR/image.json"
  printf '%s  %s\n' {{ about.sha256 | q }} "$RW_DIR/image.json" | sha256sum --check --status \
    || fail "image.json is not what the plan's digest says"
  image_bytes=$(jq -er .filesystem_bytes "$RW_DIR/image.json")
}

# Streams the image through SHA-256 onto the partition. Its extent is zeroed before, so that blocks
# of zeros need not be written.
write_image() {
  local expected={{ rootfs.sha256 | q }} pipe=$RW_DIR/stream sum_pid
  (($(blockdev --getsize64 "$root_partition") >= image_bytes)) \
    || fail "the root partition is smaller than the image ($image_bytes bytes)"
  zero "$root_partition" 0 "$image_bytes"
  rm -f "$pipe"
  mkfifo "$pipe"
  sha256sum < "$pipe" > "$RW_DIR/sum" &
  sum_pid=$!
  stream {{ rootfs.url | q }} {{ rootfs.size_bytes | q }} \
    | tee "$pipe" \
    | zstd --decompress --stdout --quiet \
    | dd of="$root_partition" bs=128K iflag=fullblock conv=sparse,notrunc,fdatasync status=none \
    || fail "the image did not arrive whole"
  wait "$sum_pid"
  [ "$(cut -d' ' -f1 "$RW_DIR/sum")" = "$expected" ] && return 0
  wipe_signatures
  fail "the image's digest is $(cut -d' ' -f1 "$RW_DIR/sum"), the plan's is $expected: the drive was wiped"
}

# -- the new system -----------------------------------------------------------------------------

put() {
  local mode=$1 path=$mnt$2
  [ -d "${path%/*}" ] || install -d -m 0755 "${path%/*}"
  cat > "$path"
  chmod "$mode" "$path"
}

seed_identity() {
  local name={{ machine.name | q }} address={{ machine.address | q }}
  put 0644 /etc/hostname <<< "$name"
  put 0644 /etc/hosts << HOSTS
127.0.0.1 localhost
${address:-127.0.1.1} $name
::1 localhost ip6-localhost ip6-loopback
HOSTS
  systemd-id128 new | put 0444 /etc/machine-id
  local key=/etc/ssh/ssh_host_ed25519_key
  put 0600 "$key" < "$key"
  put 0644 "$key.pub" < "$key.pub"
  put 0644 "$key-cert.pub" <<< {{ ssh.host_certificate | q }}
  install -d -m 0700 "$mnt/root/.ssh"
  {
    printf '%s\n' {{ ssh.authorized_key | q }}
{% for key in params.authorized_keys %}
    printf '%s\n' {{ key | q }}
{% endfor %}
  } | put 0600 /root/.ssh/authorized_keys
}

# A static address, so that no lease is needed once the controller is gone.
seed_network() {
  {
    printf '[Match]\nPermanentMACAddress=%s\n[Network]\nLLMNR=no\n' "$pxe_mac"
{% if machine.management_address %}
    printf 'DHCP=no\nIPv6AcceptRA=no\nAddress=%s\n' {{ machine.management_address | q }}
{% if machine.gateway %}
    printf 'Gateway=%s\n' {{ machine.gateway | q }}
{% endif %}
{% else %}
    printf 'DHCP=ipv4\n'
{% endif %}
  } | put 0644 /etc/systemd/network/10-rackwright.network
  {
{% for server in machine.dns %}
    printf 'nameserver %s\n' {{ server | q }}
{% else %}
    printf '# no name server was given\n'
{% endfor %}
  } | put 0644 /etc/resolv.conf
}

seed_fstab() {
  put 0644 /etc/fstab << FSTAB
UUID=$root_uuid / ext4 errors=remount-ro 0 1
UUID=$esp_uuid /boot/efi vfat umask=0077,nofail,noatime 0 0
FSTAB
}

seed_users() {
  local name
{% for user in params.users %}
  name={{ user.name | q }}
  chroot "$mnt" useradd --create-home --shell /bin/bash "$name"
{% if user.sudo | default(false) %}
  put 0440 "/etc/sudoers.d/$name" <<< "$name ALL=(ALL:ALL) NOPASSWD: ALL"
{% endif %}

  {
    :
{% for key in user.authorized_keys %}
    printf '%s\n' {{ key | q }}
{% endfor %}
  } | put 0600 "/home/$name/.ssh/authorized_keys"
  chmod 0700 "$mnt/home/$name/.ssh"
  chroot "$mnt" chown -R "$name:" "/home/$name/.ssh"
{% endfor %}
}

seed_marker() {
  jq -n --arg install_id "$marker_id" --arg image_digest {{ image.digest | q }} \
    --arg drive_serial "$want_serial" --argjson generation {{ erase.generation | q }} \
    --arg machine_id "$want_machine" \
    '{install_id: $install_id, image_digest: $image_digest, drive_serial: $drive_serial,
      generation: $generation, machine_id: $machine_id}' | put 0644 /etc/rackwright/installed.json
}

# -- the boot loader ----------------------------------------------------------------------------

# The same settings twice: as the configuration that GRUB reads now, and as the defaults from which
# Debian's update-grub makes it anew after a kernel upgrade.
write_grub_config() {
  local release args serial="" tty baud
  [[ $console =~ ^[A-Za-z0-9,]*$ ]] || fail "the console is no device: $console"
  [[ $cmdline =~ ^[A-Za-z0-9_.,:=/@+\ -]*$ ]] || fail "kernel_cmdline holds more than plain parameters"
  release=$(basename "$(ls -1 "$mnt"/boot/vmlinuz-* | tail -n1)")
  release=${release#vmlinuz-}
  args="console=tty0${console:+ console=$console}${cmdline:+ $cmdline}"
  if [[ $console =~ ^ttyS([0-9]+),?([0-9]*) ]]; then
    tty=${BASH_REMATCH[1]} baud=${BASH_REMATCH[2]:-9600}
    serial="serial --unit=$tty --speed=$baud"
  fi
  put 0644 /boot/grub/grub.cfg << CONFIG
set timeout=1
set default=0
# a firmware with UEFI mirrors its console to the serial line by itself
if [ "\$grub_platform" = pc ]; then
  ${serial:-true}
  terminal_input ${serial:+serial }console
  terminal_output ${serial:+serial }console
fi
search --no-floppy --fs-uuid --set=root $root_uuid
menuentry 'Debian GNU/Linux' {
  linux /boot/vmlinuz-$release root=UUID=$root_uuid ro $args
  initrd /boot/initrd.img-$release
}
CONFIG
  put 0644 /etc/default/grub << DEFAULTS
GRUB_DEFAULT=0
GRUB_TIMEOUT=1
GRUB_DISTRIBUTOR=Debian
GRUB_CMDLINE_LINUX_DEFAULT=""
GRUB_CMDLINE_LINUX="$args"
GRUB_TERMINAL="console${serial:+ serial}"
GRUB_SERIAL_COMMAND="$serial"
DEFAULTS
}

little_endian() {  # value, bytes
  local value=$1 count=$2
  while ((count-- > 0)); do
    printf '%b' "\\x$(printf '%02x' $((value & 255)))"
    value=$((value >> 8))
  done
}

# What grub-bios-setup does, for a core image that lies in one piece in its own partition: boot.S
# holds the core's first sector at 0x5c and skips its floppy test with two NOPs at 0x66; diskboot.S
# holds where the rest lies at 0x1f4 (GRUB 2.06, include/grub/i386/pc/boot.h and util/setup.c).
install_bios_loader() {
  local from=$mnt/usr/lib/rackwright/boot work=$RW_DIR/bios target start
  mkdir -p "$work"
  target=$(partition 1)
  start=$(cat "/sys/class/block/$(basename "$target")/start")
  cp "$from/core.img" "$from/boot.img" "$work/"
  little_endian "$((start + 1))" 8 | dd of="$work/core.img" bs=1 seek=$((0x1f4)) conv=notrunc status=none
  little_endian "$start" 8 | dd of="$work/boot.img" bs=1 seek=$((0x5c)) conv=notrunc status=none
  printf '\x90\x90' | dd of="$work/boot.img" bs=1 seek=$((0x66)) conv=notrunc status=none
  dd if="$work/core.img" of="$target" bs=64K conv=notrunc,fsync status=none
  dd if="$work/boot.img" of="$disk" bs=440 count=1 conv=notrunc,fsync status=none
}

# Debian's signed chain, under its own name and under the path for removable media: the latter
# starts even where the NVRAM was wiped.
install_uefi_loader() {
  local esp=$mnt/boot/efi arch=$mnt/usr/lib folder
  mount -t vfat "$esp_partition" "$esp"
  for folder in EFI/debian EFI/BOOT; do
    mkdir -p "$esp/$folder"
    cp "$arch/grub/x86_64-efi-signed/grubx64.efi.signed" "$esp/$folder/grubx64.efi"
    cp "$arch/shim/mmx64.efi.signed" "$esp/$folder/mmx64.efi"
    cat > "$esp/$folder/grub.cfg" << STUB
search.fs_uuid $root_uuid root
set prefix=(\$root)/boot/grub
configfile \$prefix/grub.cfg
STUB
  done
  cp "$arch/shim/shimx64.efi.signed" "$esp/EFI/debian/shimx64.efi"
  cp "$arch/shim/shimx64.efi.signed" "$esp/EFI/BOOT/BOOTX64.EFI"
  umount "$esp"
}

boot_from_drive_first() {
  local label="Rackwright Debian" old
  if [ ! -d /sys/firmware/efi/efivars ] || ! efibootmgr > "$RW_DIR/boot-entries" 2>/dev/null; then
    step "no EFI variables: the drive starts by the path for removable media"
    return 0
  fi
  for old in $(sed -n "s/^Boot\([0-9A-F]\{4\}\)\*\? $label.*/\1/p" "$RW_DIR/boot-entries"); do
    efibootmgr --quiet --bootnum "$old" --delete-bootnum || true
  done
  efibootmgr --quiet --create --disk "$disk" --part 2 --label "$label" \
    --loader '\EFI\debian\shimx64.efi' \
    || step "the firmware refused a boot entry: the drive starts by the path for removable media"
}

# -- the order ----------------------------------------------------------------------------------

[ "$firmware" = uefi ] || [ "$want_sector" = 512 ] \
  || fail "a BIOS cannot start a drive with sectors of $want_sector bytes: boot this machine with UEFI"
check_machine
drive=$(find_drive)
disk=/dev/$drive
mkdir -p "$mnt"
leave_mounts
check_unused
step "reading what the image is"
read_about

step "wiping $disk: serial $want_serial, $want_bytes bytes"
drive_again=$(find_drive)
[ "$drive_again" = "$drive" ] || fail "the drive changed its name from $drive to $drive_again: trying again is safe"
wipe_signatures
blkdiscard --force "$disk" 2> /dev/null || step "the drive does not discard"
step "partitioning"
partition_drive
esp_partition=$(partition 2)
root_partition=$(partition 3)
step "writing $image to $root_partition"
write_image
step "growing the filesystem"
tune2fs -U random "$root_partition" > /dev/null
resize2fs "$root_partition" > /dev/null 2> "$RW_DIR/resize" || fail "resize2fs: $(tail -n2 "$RW_DIR/resize")"
mkfs.vfat -F 32 -n ESP "$esp_partition" > "$RW_DIR/vfat" 2>&1 || fail "mkfs.vfat: $(tail -n2 "$RW_DIR/vfat")"
root_uuid=$(blkid -p -s UUID -o value "$root_partition")
esp_uuid=$(blkid -p -s UUID -o value "$esp_partition")
mount -t ext4 "$root_partition" "$mnt"
trap 'umount -R "$mnt" 2> /dev/null || true' EXIT
step "seeding identity, network and keys"
seed_identity
seed_network
seed_fstab
seed_users
seed_marker
step "installing the boot loader ($firmware)"
write_grub_config
install_uefi_loader
[ "$want_sector" != 512 ] || install_bios_loader
sync
umount "$mnt"
trap - EXIT
blockdev --flushbufs "$disk"
[ "$firmware" = bios ] || boot_from_drive_first
step "installed"
{% endif %}
