# Do the members that leave run nothing and manage nothing?
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
  [ "$(docker node inspect --format '{{.Spec.Availability}} {{.Spec.Role}}' "$id")" = "drain worker" ] || unsatisfied "$id is not drained"
  state=$(docker node inspect --format '{{.Status.State}}' "$id")
  [ "$state" != ready ] || [ "$(tasks_of "$id")" = 0 ] || unsatisfied "$id still runs tasks"
done
{% endraw %}
satisfied
