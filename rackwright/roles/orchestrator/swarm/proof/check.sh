# Was exactly this membership proved, and is it whole now? Reads only.
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

[ ${#members[@]} -gt 0 ] || fail "no machine of this run is a member"
hash_membership "$cluster" "$image"
record=$(find_record) || no_quorum
[ -n "$record" ] || unsatisfied "this membership was not proved yet"
settle 45 || unsatisfied "$troubles"
satisfied
