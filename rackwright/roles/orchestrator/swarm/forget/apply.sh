# Remove the members that left. One that the Swarm calls ready has not left: it is not forced out.
{% set ns = namespace(ids=[]) %}
{% for values in outputs.values() %}
{% for given in values.by_machine.values() %}
{% if given.leaving_node_id is defined and given.leaving_node_id %}
{% set ns.ids = ns.ids + [given.leaving_node_id] %}
{% endif %}
{% endfor %}
{% endfor %}
by_id=({% for id in ns.ids | unique | sort %} {{ id | q }}{% endfor %} )
by_name=({% for name in params.leaving | unique | sort %} {{ name | q }}{% endfor %} )
find_leaving
{% raw %}
for id in "${leaving[@]}"; do
  for ((try = 0; try < 40; try++)); do
    [ "$(docker node inspect --format '{{.Status.State}}' "$id")" = ready ] || break
    sleep 2
  done
  docker node rm "$id" >/dev/null || fail "$id could not be removed"
done
{% endraw %}
