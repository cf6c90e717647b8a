# Is this node a manager of the cluster (of the recorded one, where one is)?
recorded={{ cluster.id | q }}
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

now=$(state)
case $now in
  inactive) unsatisfied "this node is in no Swarm" ;;
  active) ;;
  *) fail "this node's Swarm state is '$now' ($(ask .Swarm.Error)): see 'docker info'" ;;
esac
here=$(cluster_id)
if [ -n "$recorded" ] && [ "$here" != "$recorded" ]; then
  fail "this node is a member of another cluster, $here: take it out by hand (docker swarm leave) if that is meant"
fi
if [ "$(ask .Swarm.ControlAvailable)" != true ]; then
  [ -n "$recorded" ] || fail "this node is a worker of a cluster, $here, that is not on record"
  unsatisfied "this node is a worker"
fi
docker node ls >/dev/null || fail "this manager cannot ask its Swarm: it may have lost its quorum"
satisfied
