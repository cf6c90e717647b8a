# Is this node a member of the cluster, in its role?
{% set ns = namespace(id=cluster.id) %}
{% for values in outputs.values() %}
{% for given in values.by_machine.values() %}
{% if given.cluster_id is defined %}
{% set ns.id = given.cluster_id %}
{% endif %}
{% endfor %}
{% endfor %}
wanted={{ ns.id | q }}

[ -n "$wanted" ] || fail "no cluster id is known: an init comes first"
ask_settled_node
case $node_state in
  inactive) unsatisfied "this node is in no Swarm" ;;
  active) ;;
  *) fail "this node's Swarm state is '$node_state' ($node_error): see 'docker info'" ;;
esac
read_cluster_id
[ "$cluster_id" = "$wanted" ] ||
  fail "this node is a member of another cluster, $cluster_id: take it out by hand (docker swarm leave) if that is meant"
{% if params.role == "manager" %}
[ "$is_manager" = true ] || unsatisfied "this node is a worker"
{% else %}
[ "$is_manager" != true ] || unsatisfied "this node is a manager"
{% endif %}
satisfied
