# Prints the evidence: firmware, memory, CPUs, NICs, drives and what is on them. Read only.
[ -e /etc/rackwright/ramdisk ] || fail "this is not the ramdisk: discovery runs there only"

dmi() { tr -d '\0' < "/sys/class/dmi/id/$1" 2>/dev/null || true; }

# The hardware's own address (a bond or a bridge may lend another), driver and link speed.
nics() {
  local path name speed driver mac
  for path in /sys/class/net/*; do
    [ -e "$path/device" ] || continue
    name=${path##*/}
    mac=$(ethtool_permanent "$name")
    speed=$(cat "$path/speed" 2>/dev/null || true)
    driver=$(basename "$(readlink -f "$path/device/driver")")
    jq -nc --arg name "$name" --arg mac "${mac,,}" --arg driver "$driver" --arg speed "$speed" \
      '{mac: $mac, name: $name, driver: $driver,
        speed_mbps: (try ($speed | tonumber | if . > 0 then . else null end) catch null)}'
  done | jq -sc 'sort_by(.mac)'
}

ethtool_permanent() {
  ip -json link show dev "$1" | jq -r '.[0] | .permaddr // .address'
}

# Signatures on a disk and on its partitions, as wipefs finds them without writing.
signatures() {
  local device
  lsblk -nrpo PATH "$1" | while IFS= read -r device; do
    wipefs --no-act --json "$device" 2>/dev/null | jq -r '.signatures[]?.type'
  done | sort -u | jq -Rsc 'split("\n") | map(select(. != ""))'
}

transport() {
  local subsystem
  subsystem=$(basename "$(readlink -f "/sys/class/block/$1/device/subsystem" 2>/dev/null)")
  printf '%s' "${subsystem:-unknown}"
}

# One line per drive. A drive seen over two paths (same WWN, or same serial and model where it has
# none) is one drive.
drives() {
  local line name
  lsblk --json --bytes --nodeps --output NAME,PATH,SERIAL,WWN,MODEL,SIZE,LOG-SEC,TRAN,ROTA,RM,TYPE \
    | jq -c '.blockdevices[] | select(.type == "disk" and .size > 0)
             | select(.name | test("^(zram|ram|nbd|loop|fd|md|dm-)") | not)' \
    | while IFS= read -r line; do
      name=$(jq -r .name <<< "$line")
      jq -c --arg tran "$(transport "$name")" --argjson found "$(signatures "/dev/$name")" '
        def text: (. // "") | gsub("^\\s+|\\s+$"; "");
        {serial: (.serial | text), wwn: (.wwn | text), path, model: (.model | text),
         size_bytes: .size, sector_bytes: ."log-sec", transport: (.tran // $tran),
         rotational: .rota, removable: .rm, has_data: ($found | length > 0), signatures: $found}' \
        <<< "$line"
    done \
    | jq -sc '
        group_by(if .wwn != "" then ["wwn", .wwn]
                 elif .serial != "" then ["serial", .serial, .model, .size_bytes]
                 else ["path", .path] end)
        | map(.[0]) | sort_by(.path)'
}

neighbours() {
  if command -v lldpcli > /dev/null; then
    lldpcli -f json0 show neighbors 2>/dev/null | jq -c '
      [.lldp[]?.interface[]?
       | {nic: .name, switch: (.chassis[0].name[0].value // ""), port: (.port[0].id[0].value // ""),
          port_description: (.port[0].descr[0].value // "")}]' || printf '[]'
  else
    printf '[]'
  fi
}

jq -nc \
  --arg firmware "$([ -d /sys/firmware/efi ] && echo uefi || echo bios)" \
  --arg vendor "$(dmi sys_vendor)" --arg product "$(dmi product_name)" \
  --arg serial "$(dmi product_serial)" --arg uuid "$(dmi product_uuid)" \
  --arg architecture "$(uname -m)" --arg boot_id "$(cat /proc/sys/kernel/random/boot_id)" \
  --argjson memory "$(lsmem --json --bytes --summary=never | jq '[.memory[].size] | add')" \
  --argjson cpus "$(nproc --all)" \
  --argjson nics "$(nics)" --argjson drives "$(drives)" --argjson lldp "$(neighbours)" \
  '{firmware: $firmware, memory_bytes: $memory, cpu_count: $cpus, vendor: $vendor,
    product: $product, serial: $serial, uuid: $uuid, boot_id: $boot_id,
    architecture: $architecture, nics: $nics, drives: $drives, lldp_neighbours: $lldp}'
