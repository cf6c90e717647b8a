# The recorded proof of exactly this membership; and every member is ready now.
{% set ns = namespace(rows=[], id=cluster.id) %}
{% for values in outputs.values() %}
{% for machine_id, given in values.by_machine.items() %}
{% if given.cluster_id is defined and given.node_id is defined %}
{% set ns.id = given.cluster_id %}
{% set ns.rows = ns.rows + [[machine_id, given.machine, given.node_id, given.role, given.hostname, given.boot_id] | join(" ")] %}
{% endif %}
{% endfor %}
{% endfor %}
cluster={{ ns.id | q }}
image=rackwright/workload:{{ artifacts[params.workload].digest[:16] }}
# machine id, machine, node id, role, host name, boot id: what each member said of itself
members=(
{% for row in ns.rows | unique | sort %}
  {{ row | q }}
{% endfor %}
)
membership=$(printf '%s\n' "$cluster" "$image" "${members[@]}" | cut -d ' ' -f 1-5 | sha256sum | cut -c 1-64)
{% raw %}
# Each member as the manager sees it; troubles: what is wrong, a line each.
look() {
  local row id machine node role host boot seen wanted
  troubles=
  for row in "${members[@]}"; do
    read -r id machine node role host boot <<<"$row"
    seen=$(timeout 20 docker node inspect --format '{{.Status.State}} {{.Spec.Availability}} {{.Spec.Role}} {{.Description.Hostname}}{{with .ManagerStatus}} {{.Reachability}}{{end}}' "$node" 2>/dev/null || echo absent)
    wanted="ready active $role $host"
    [ "$role" != manager ] || wanted="$wanted reachable"
    [ "$seen" = "$wanted" ] || troubles="$troubles$machine: the manager says '$seen', expected '$wanted'; "
  done
  while read -r node host boot; do
    case " $expected_nodes " in *" $node "*) continue ;; esac
    case " $expected_hosts " in *" $host "*) troubles="$troubles$host: stale member $node ($boot); " ;; esac
  done < <(timeout 20 docker node ls --format '{{.ID}} {{.Hostname}} {{.Status}}')
}
{% endraw %}
expected_nodes=$(printf '%s\n' "${members[@]}" | cut -d ' ' -f 3 | tr '\n' ' ')
expected_hosts=$(printf '%s\n' "${members[@]}" | cut -d ' ' -f 5 | tr '\n' ' ')
settle() {  # a node whose daemon has just started needs a few heartbeats
  local _
  for _ in $(seq "$1"); do
    look
    [ -n "$troubles" ] || return 0
    sleep 2
  done
  return 1
}
{% raw %}
recorded() { timeout 30 docker config ls --filter "label=rackwright.members=$membership" --format '{{.Name}}' | head -n 1; }
{% endraw %}

name=$(recorded)
[ -n "$name" ] || fail "this membership is not proved"
settle 15 || fail "$troubles"
{% raw %}
record=$(docker config inspect --format '{{printf "%s" .Spec.Data}}' "$name")
# Evidence is at most 64 KiB: past some 200 nodes each node's own part is in its witness alone.
if [ ${#record} -gt 60000 ]; then
  record="${record%%,\"nodes\":*},\"nodes\":[],\"node_count\":${#members[@]}}"
fi
printf '%s\n' "$record"
{% endraw %}
