# Drain, wait until nothing runs, demote. Refused before anything is touched if no quorum would stay.
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
[ "$staying" -ge 1 ] || fail "no manager would stay"
[ "$reachable" -gt $((staying / 2)) ] || fail "$reachable of $staying managers would stay reachable: no quorum"

for id in "${leaving[@]}"; do docker node update --availability drain "$id" >/dev/null; done
for id in "${leaving[@]}"; do
  for ((try = 0; try < 300; try++)); do
    [ "$(docker node inspect --format '{{.Status.State}}' "$id")" = ready ] || break  # dead: nothing runs
    [ "$(tasks_of "$id")" != 0 ] || break
    sleep 2
  done
  [ "$(docker node inspect --format '{{.Status.State}}' "$id")" != ready ] || [ "$(tasks_of "$id")" = 0 ] ||
    fail "$id still runs tasks after ten minutes"
  if still_manages "$id"; then demote "$id"; fi
done
{% endraw %}
