# The image is here; and whether this node is a member of a Swarm already.
image=rackwright/workload:{{ artifacts[params.workload].digest[:16] }}

{% raw %}
said=$(engine "/images/$image/json" || docker image inspect --format '{{json .}}' "$image")
{% endraw %}
pick image_id Id "$said"
[ -n "$image_id" ] || fail "$image is not loaded"
[ -d /var/lib/rackwright/proof ] || fail "/var/lib/rackwright/proof is missing"
ask_node
printf '{"machine":"%s","image":"%s","image_id":"%s","hostname":"%s","node_state":"%s"}\n' \
  {{ machine.name | q }} "$image" "$image_id" "$node_name" "$node_state"
