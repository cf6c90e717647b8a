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

hash_membership "$cluster" "$image"
record=$(find_record) || no_quorum
[ -n "$record" ] || fail "this membership is not proved"
settle 15 || fail "$troubles"
# Evidence is at most 64 KiB: past some 200 nodes each node's own part is in its witness alone.
{% raw %}
if [ ${#record} -gt 60000 ]; then
  record="${record%%,\"nodes\":*},\"nodes\":[],\"node_count\":${#members[@]}}"
fi
{% endraw %}
printf '%s\n' "$record"
