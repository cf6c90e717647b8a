# Which member this machine is; an empty id where it is none.
{% raw %}
timeout 30 docker info --format '{"leaving_hostname":{{json .Name}},"leaving_node_id":{{json .Swarm.NodeID}},"state":{{json .Swarm.LocalNodeState}}}'
{% endraw %}
