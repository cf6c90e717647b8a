# The node's side of the proof: what the Swarm's task left on this very node.
{% set ns = namespace(nonce="") %}
{% for values in outputs.values() %}
{% for given in values.by_machine.values() %}
{% if given.nonce is defined %}
{% set ns.nonce = given.nonce %}
{% endif %}
{% endfor %}
{% endfor %}
wanted={{ ns.nonce | q }}

[ -n "$wanted" ] || fail "no proof was made in this run"
read -r word nonce node host task boot </var/lib/rackwright/proof/last || fail "no task of a proof ran on this node"
[ "$word $nonce" = "rackwright-proof $wanted" ] || fail "the last proof's task here printed another nonce"
ask_node
[ "$node" = "$node_id" ] || fail "the task ran as node $node, this is $node_id"
printf '{"nonce":"%s","node_id":"%s","hostname":"%s","task":"%s","boot_id":"%s","state":"%s"}\n' \
  "$nonce" "$node" "$host" "$task" "$boot" "$node_state"
