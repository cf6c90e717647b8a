# Did machines that are about to join leave an old member of the same name behind?
{% set ns = namespace(names=[]) %}
{% for values in outputs.values() %}
{% for given in values.by_machine.values() %}
{% if given.node_state is defined and given.node_state == "inactive" %}
{% set ns.names = ns.names + [given.hostname] %}
{% endif %}
{% endfor %}
{% endfor %}
strangers=({% for name in ns.names | unique | sort %} {{ name | q }}{% endfor %} )

[ ${#strangers[@]} -gt 0 ] || satisfied
find_stale
[ ${#stale[@]} -eq 0 ] || unsatisfied "stale members: ${stale[*]}"
satisfied
