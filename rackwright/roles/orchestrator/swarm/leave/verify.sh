# This machine is in no Swarm, and runs no container of one.
ask_node
[ "$node_state" = inactive ] || fail "this node's Swarm state is '$node_state'"
left=$(docker ps --quiet --filter label=com.docker.swarm.service.id | wc -l)
[ "$left" = 0 ] || fail "$left containers of the Swarm still run"
printf '{"state":"%s","containers":%d}\n' "$node_state" "$left"
