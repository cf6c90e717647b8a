# Membership as this node knows it. The manager's side is the proof's.
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

for _ in $(seq 30); do  # a new manager takes a moment to become one
  [ "$(state)" = active ] || fail "this node is in no Swarm"
  role=worker
  [ "$(ask .Swarm.ControlAvailable)" != true ] || role=manager
  node=$(ask .Swarm.NodeID)
  [ "$role" != {{ params.role | q }} ] || break
  sleep 2
done
[ "$role" = {{ params.role | q }} ] || fail "this node is a $role"
[ "$(cluster_id)" = "$wanted" ] || fail "this node is a member of another cluster"
manager_addr=
[ "$role" != manager ] || manager_addr=$(ask .Swarm.NodeAddr):{{ params.listen_port }}
printf '{"cluster_id":"%s","manager_addr":"%s","node_id":"%s","role":"%s","machine":"%s","hostname":"%s","boot_id":"%s","state":"active"}\n' \
  "$(cluster_id)" "$manager_addr" "$node" "$role" {{ machine.name | q }} "$(ask .Name)" \
  "$(cat /proc/sys/kernel/random/boot_id)"
