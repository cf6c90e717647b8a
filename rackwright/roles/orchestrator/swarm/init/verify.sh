# The Swarm as this manager knows it, and that it can decide (a leader, a quorum).
ask_settled_node
[ "$node_state" = active ] || fail "this node is in no Swarm"
[ "$is_manager" = true ] || fail "this node does not manage its Swarm"
role=manager
{% raw %}
for ((try = 0; try < 30; try++)); do
  said=$(engine "/nodes/$node_id" || timeout 20 docker node inspect --format '{{json .}}' self || true)
  said=${said#*'"Status":'}
  pick state State "$said"
  pick reachability Reachability "$said"
  [ "$state $reachability" = "ready reachable" ] && break
  sleep 2
done
{% endraw %}
[ "$state $reachability" = "ready reachable" ] || fail "the Swarm calls this manager '$state $reachability'"
manager_addr=$node_addr:{{ params.listen_port }}
read_cluster_id
[ "$cluster_id" = "$swarm_id" ] || fail "certificate and Swarm name different cluster ids"
printf '{"cluster_id":"%s","manager_addr":"%s","node_id":"%s","role":"%s","machine":"%s","hostname":"%s","boot_id":"%s","state":"active"}\n' \
  "$cluster_id" "$manager_addr" "$node_id" "$role" {{ machine.name | q }} "$node_name" \
  "$(</proc/sys/kernel/random/boot_id)"
