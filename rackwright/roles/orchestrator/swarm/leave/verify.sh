# This machine is in no Swarm, and runs no container of one.
{% raw %}
ask() { timeout 30 docker info --format "{{$1}}"; }
{% endraw %}

now=$(ask .Swarm.LocalNodeState)
[ "$now" = inactive ] || fail "this node's Swarm state is '$now'"
left=$(docker ps --quiet --filter label=com.docker.swarm.service.id | wc -l)
[ "$left" = 0 ] || fail "$left containers of the Swarm still run"
printf '{"state":"%s","containers":%d}\n' "$now" "$left"
