# Proves that the machine runs the planned installation from the planned drive. Runs in the
# installed OS; reads only.
{% if erase %}
want_install={{ erase.install_id | q }} want_serial={{ erase.drive_serial | q }}
want_bytes={{ erase.size_bytes | q }} want_digest={{ artifacts[params.image].digest | q }}
{% elif installed %}
want_install={{ installed.install_id | q }} want_serial={{ installed.drive_serial | q }}
want_bytes="" want_digest={{ installed.image_digest | q }}
{% else %}
fail "no installation of this machine is planned or on record"
{% endif %}
marker=/etc/rackwright/installed.json

[ ! -e /etc/rackwright/ramdisk ] || fail "the machine runs the ramdisk, not an installed system"

expect() {  # what, have, want
  [ "$2" = "$3" ] || fail "$1 is '$2', expected '$3'"
}

mapfile -t marked < <(jq -r '.install_id, .machine_id, .image_digest' "$marker")
expect "the installation" "${marked[0]:-}" "$want_install"
expect "the machine" "${marked[1]:-}" {{ machine.id | q }}
expect "the image" "${marked[2]:-}" "$want_digest"

. /etc/os-release
machine_id=$(</etc/machine-id)
[ ${#machine_id} = 32 ] || fail "the machine-id is not set"
firmware=bios
[ ! -d /sys/firmware/efi ] || firmware=uefi

# The root drive's serial and size, then the evidence. Each start of a program counts on a slow machine.
root_source=$(findmnt --noheadings --output SOURCE /)
mapfile -t found < <(
  lsblk --json --bytes --inverse --output NAME,SERIAL,WWN,MODEL,SIZE,LOG-SEC "$root_source" |
    jq -rc --slurpfile marker "$marker" \
      --arg os "$PRETTY_NAME" --arg os_id "$ID $VERSION_ID" --arg os_machine_id "$machine_id" \
      --arg boot_id "$(</proc/sys/kernel/random/boot_id)" --arg root "$root_source" \
      --arg kernel "$(</proc/sys/kernel/osrelease)" --arg hostname "$(</proc/sys/kernel/hostname)" \
      --arg firmware "$firmware" '
      def text: (. // "") | gsub("^\\s+|\\s+$"; "");
      .blockdevices[0].children[0]
      | (.serial | text), .size,
        {os: $os_id, os_pretty_name: $os, machine_id: $os_machine_id, boot_id: $boot_id,
         kernel: $kernel, hostname: $hostname, firmware: $firmware, root: $root,
         drive_serial: (.serial | text), drive_wwn: (.wwn | text), drive_model: (.model | text),
         drive_size_bytes: .size, drive_sector_bytes: ."log-sec",
         image_digest: $marker[0].image_digest, install_id: $marker[0].install_id,
         generation: $marker[0].generation}'
)
[ ${#found[@]} = 3 ] && [ "${found[1]}" != null ] ||
  fail "the root filesystem $root_source is on no partition of a drive"
expect "the root drive's serial" "${found[0]}" "$want_serial"
[ -z "$want_bytes" ] || expect "the root drive's size" "${found[1]}" "$want_bytes"
printf '%s\n' "${found[2]}"
