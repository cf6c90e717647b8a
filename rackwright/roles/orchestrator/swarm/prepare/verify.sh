# The image is here; and whether this node is a member of a Swarm already.
image=rackwright/workload:{{ artifacts[params.workload].digest[:16] }}

{% raw %}
id=$(docker image inspect --format '{{.Id}}' "$image")
[ -d /var/lib/rackwright/proof ] || fail "/var/lib/rackwright/proof is missing"
about=$(timeout 30 docker info --format '"hostname":{{json .Name}},"node_state":{{json .Swarm.LocalNodeState}}')
{% endraw %}
printf '{"machine":"%s","image":"%s","image_id":"%s",%s}\n' {{ machine.name | q }} "$image" "$id" "$about"
