# No member stands for a machine that is none.
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
[ ${#stale[@]} -eq 0 ] || fail "stale members: ${stale[*]}"
mapfile -t members <<<"$listed"
printf '{"joining":%d,"members":%d,"stale":0}\n' "${#strangers[@]}" "${#members[@]}"
