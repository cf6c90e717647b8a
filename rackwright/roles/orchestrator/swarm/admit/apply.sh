# Remove the stale members. A manager among them is demoted first, and never the quorum with it.
{% set ns = namespace(names=[]) %}
{% for values in outputs.values() %}
{% for given in values.by_machine.values() %}
{% if given.node_state is defined and given.node_state == "inactive" %}
{% set ns.names = ns.names + [given.hostname] %}
{% endif %}
{% endfor %}
{% endfor %}
strangers=({% for name in ns.names | unique | sort %} {{ name | q }}{% endfor %} )

find_stale
for id in "${stale[@]}"; do
  if still_manages "$id"; then demote "$id"; fi
  for ((try = 0; try < 20; try++)); do
    docker node rm --force "$id" >&2 && continue 2
    sleep 2
  done
  fail "stale member $id could not be removed"
done
