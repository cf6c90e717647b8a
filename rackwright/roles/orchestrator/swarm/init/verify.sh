# The Swarm as this manager knows it, and that it can decide (a leader, a quorum).
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

[ "$(state)" = active ] || fail "this node is in no Swarm"

role=worker
[ "$(ask .Swarm.ControlAvailable)" != true ] || role=manager
node=$(ask .Swarm.NodeID)

[ "$role" = manager ] || fail "this node does not manage its Swarm"
{% raw %}
for _ in $(seq 30); do
  status=$(timeout 20 docker node inspect self --format '{{.Status.State}} {{.ManagerStatus.Reachability}}' || true)
  [ "$status" = "ready reachable" ] && break
  sleep 2
done
{% endraw %}
[ "$status" = "ready reachable" ] || fail "the Swarm calls this manager '$status'"
manager_addr=$(ask .Swarm.NodeAddr):{{ params.listen_port }}
[ "$(cluster_id)" = "$(ask .Swarm.Cluster.ID)" ] || fail "certificate and Swarm name different cluster ids"
printf '{"cluster_id":"%s","manager_addr":"%s","node_id":"%s","role":"%s","machine":"%s","hostname":"%s","boot_id":"%s","state":"active"}\n' \
  "$(cluster_id)" "$manager_addr" "$node" "$role" {{ machine.name | q }} "$(ask .Name)" \
  "$(cat /proc/sys/kernel/random/boot_id)"
