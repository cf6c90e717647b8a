# Is this node a member of the cluster, in its role?
{% set ns = namespace(id=cluster.id, addresses=[]) %}
{% for values in outputs.values() %}
{% for given in values.by_machine.values() %}
{% if given.cluster_id is defined %}
{% set ns.id = given.cluster_id %}
{% endif %}
{% if given.manager_addr is defined and given.manager_addr %}
{% set ns.addresses = ns.addresses + [given.manager_addr] %}
{% endif %}
{% endfor %}
{% endfor %}
wanted={{ ns.id | q }}
{% raw %}
ask() { timeout 30 docker info --format "{{$1}}"; }
{% endraw %}
state() {  # waits while a join or a start goes on
  local now _
  for _ in $(seq 30); do
    now=$(ask .Swarm.LocalNodeState) || fail "dockerd does not answer"
    [ "$now" = pending ] || break
    sleep 2
  done
  printf '%s\n' "$now"
}
cluster_id() {  # from the node's certificate, where O is the cluster and CN the node (swarmkit, ca/config.go)
  local root node ids
  root=$(ask .DockerRootDir)
  node=$(ask .Swarm.NodeID)
  mapfile -t ids < <(
    sed '/END CERTIFICATE/q' "$root/swarm/certificates/swarm-node.crt" | sed '/-----/d' | base64 -d |
      LC_ALL=C grep -aoE '[a-z0-9]{25}[01]' | cut -c 1-25
  )
  [ "${ids[1]:-}" = "$node" ] || fail "the certificate of this Swarm node cannot be read"
  printf '%s\n' "${ids[0]}"
}

[ -n "$wanted" ] || fail "no cluster id is known: an init comes first"
now=$(state)
case $now in
  inactive) unsatisfied "this node is in no Swarm" ;;
  active) ;;
  *) fail "this node's Swarm state is '$now' ($(ask .Swarm.Error)): see 'docker info'" ;;
esac
here=$(cluster_id)
[ "$here" = "$wanted" ] ||
  fail "this node is a member of another cluster, $here: take it out by hand (docker swarm leave) if that is meant"
{% if params.role == "manager" %}
[ "$(ask .Swarm.ControlAvailable)" = true ] || unsatisfied "this node is a worker"
{% else %}
[ "$(ask .Swarm.ControlAvailable)" != true ] || unsatisfied "this node is a manager"
{% endif %}
satisfied
