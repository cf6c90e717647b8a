# Has this machine left its Swarm?
ask_node
[ "$node_state" = inactive ] || unsatisfied "this node's Swarm state is '$node_state'"
satisfied
