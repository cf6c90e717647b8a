# Does the Swarm still know the members that left?
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
[ ${#leaving[@]} -eq 0 ] || unsatisfied "still members: ${leaving[*]}"
satisfied
