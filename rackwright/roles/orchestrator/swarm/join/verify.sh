# Membership as this node knows it. The manager's side is the proof's.
{% set ns = namespace(id=cluster.id) %}
{% for values in outputs.values() %}
{% for given in values.by_machine.values() %}
{% if given.cluster_id is defined %}
{% set ns.id = given.cluster_id %}
{% endif %}
{% endfor %}
{% endfor %}
wanted={{ ns.id | q }}

for ((try = 0; try < 30; try++)); do  # a new manager takes a moment to become one
  ask_settled_node
  [ "$node_state" = active ] || fail "this node is in no Swarm"
  role=worker
  [ "$is_manager" != true ] || role=manager
  [ "$role" != {{ params.role | q }} ] || break
  sleep 2
done
[ "$role" = {{ params.role | q }} ] || fail "this node is a $role"
read_cluster_id
[ "$cluster_id" = "$wanted" ] || fail "this node is a member of another cluster"
manager_addr=
[ "$role" != manager ] || manager_addr=$node_addr:{{ params.listen_port }}
printf '{"cluster_id":"%s","manager_addr":"%s","node_id":"%s","role":"%s","machine":"%s","hostname":"%s","boot_id":"%s","state":"active"}\n' \
  "$cluster_id" "$manager_addr" "$node_id" "$role" {{ machine.name | q }} "$node_name" \
  "$(</proc/sys/kernel/random/boot_id)"
