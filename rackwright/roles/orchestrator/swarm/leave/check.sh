# Has this machine left its Swarm?
{% raw %}
ask() { timeout 30 docker info --format "{{$1}}"; }
{% endraw %}

now=$(ask .Swarm.LocalNodeState)
[ -n "$now" ] || fail "dockerd does not answer"
[ "$now" = inactive ] || unsatisfied "this node's Swarm state is '$now'"
satisfied
