# Is this node a manager of the cluster (of the recorded one, where one is)?
recorded={{ cluster.id | q }}

ask_settled_node
case $node_state in
  inactive) unsatisfied "this node is in no Swarm" ;;
  active) ;;
  *) fail "this node's Swarm state is '$node_state' ($node_error): see 'docker info'" ;;
esac
read_cluster_id
if [ -n "$recorded" ] && [ "$cluster_id" != "$recorded" ]; then
  fail "this node is a member of another cluster, $cluster_id: take it out by hand (docker swarm leave) if that is meant"
fi
if [ "$is_manager" != true ]; then
  [ -n "$recorded" ] || fail "this node is a worker of a cluster, $cluster_id, that is not on record"
  unsatisfied "this node is a worker"
fi
check_quorum
satisfied
