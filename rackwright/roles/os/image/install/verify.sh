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

expect "the installation" "$(jq -er .install_id "$marker")" "$want_install"
expect "the machine" "$(jq -er .machine_id "$marker")" {{ machine.id | q }}
expect "the image" "$(jq -er .image_digest "$marker")" "$want_digest"

root_source=$(findmnt --noheadings --output SOURCE /)
root_drive=$(lsblk --noheadings --nodeps --output PKNAME "$root_source" | tr -d ' ')
[ -n "$root_drive" ] || fail "the root filesystem $root_source is on no partition of a drive"
drive=$(lsblk --json --bytes --nodeps --output NAME,SERIAL,WWN,MODEL,SIZE,LOG-SEC "/dev/$root_drive" \
  | jq -c 'def text: (. // "") | gsub("^\\s+|\\s+$"; "");
           .blockdevices[0] | {serial: (.serial | text), wwn: (.wwn | text), model: (.model | text),
                               size, sector: ."log-sec"}')
expect "the root drive's serial" "$(jq -r .serial <<< "$drive")" "$want_serial"
[ -z "$want_bytes" ] || expect "the root drive's size" "$(jq -r .size <<< "$drive")" "$want_bytes"

. /etc/os-release
machine_id=$(cat /etc/machine-id)
[ ${#machine_id} = 32 ] || fail "the machine-id is not set"

jq -nc --argjson drive "$drive" --slurpfile marker "$marker" \
  --arg os "$PRETTY_NAME" --arg os_id "$ID $VERSION_ID" --arg os_machine_id "$machine_id" \
  --arg boot_id "$(cat /proc/sys/kernel/random/boot_id)" --arg kernel "$(uname -r)" \
  --arg hostname "$(uname -n)" --arg root "$root_source" \
  --arg firmware "$([ -d /sys/firmware/efi ] && echo uefi || echo bios)" \
  '{os: $os_id, os_pretty_name: $os, machine_id: $os_machine_id, boot_id: $boot_id, kernel: $kernel,
    hostname: $hostname, firmware: $firmware, root: $root, drive_serial: $drive.serial,
    drive_wwn: $drive.wwn, drive_model: $drive.model, drive_size_bytes: $drive.size,
    drive_sector_bytes: $drive.sector, image_digest: $marker[0].image_digest,
    install_id: $marker[0].install_id, generation: $marker[0].generation}'
