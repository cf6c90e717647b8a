# Nothing runs on the members that leave, and none of them is a manager.
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
  found=$(docker node inspect --format '{{.Spec.Availability}} {{.Spec.Role}}' "$id")
  [ "$found" = "drain worker" ] || fail "$id is '$found'"
done
{% endraw %}
printf '{"leaving":%d,"managers":%d}\n' "${#leaving[@]}" "$managers"
