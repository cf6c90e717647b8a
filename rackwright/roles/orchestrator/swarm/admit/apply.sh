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

is_stranger() {
  local name
  for name in "${strangers[@]}"; do [ "$name" != "$1" ] || return 0; done
  return 1
}

{% raw %}
nodes() { timeout 30 docker node ls --format '{{.ID}} {{.Hostname}} {{.Status}} {{.Self}}' || fail "this manager cannot ask its Swarm: it may have lost its quorum"; }
{% endraw %}
# stale: members with the name of a machine that says itself to be none. The Swarm needs a while to
# notice that the old installation is gone.
find_stale() {
  local listed id name status self waiting _
  for _ in $(seq 45); do
    stale=() waiting=
    listed=$(nodes)
    while read -r id name status self; do
      if [ "$self" = true ] || ! is_stranger "$name"; then continue; fi
      case $status in
        Down) stale+=("$id") ;;
        *) waiting="$waiting $name" ;;
      esac
    done <<<"$listed"
    [ -n "$waiting" ] || return 0
    sleep 2
  done
  fail "the Swarm calls$waiting ready, but a machine of that name says that it is no member: two machines with one name?"
}
{% raw %}
demote() {  # one manager, only if those that stay keep a majority of reachable ones
  local id=$1 status total=0 reachable=0 row
  while read -r row status; do
    [ -n "$status" ] || continue
    [ "$row" != "$id" ] || continue
    total=$((total + 1))
    case $status in Leader | Reachable) reachable=$((reachable + 1)) ;; esac
  done < <(timeout 30 docker node ls --format '{{.ID}} {{.ManagerStatus}}')
  [ "$total" -ge 1 ] || fail "$id is the last manager: it cannot be removed"
  [ "$reachable" -gt $((total / 2)) ] ||
    fail "demoting $id would leave $reachable of $total managers reachable: no quorum. Bring a manager back first"
  docker node demote "$id" >&2
  for _ in $(seq 60); do
    [ "$(docker node inspect --format '{{.Spec.Role}} {{with .ManagerStatus}}manager{{end}}' "$id")" = "worker " ] && return 0
    sleep 1
  done
  fail "$id was demoted, but the Swarm still counts it as a manager"
}

is_manager() { [ "$(docker node inspect --format '{{.Spec.Role}}{{with .ManagerStatus}}manager{{end}}' "$1")" != worker ]; }
{% endraw %}

find_stale
for id in "${stale[@]}"; do
  if is_manager "$id"; then demote "$id"; fi
  for _ in $(seq 20); do
    docker node rm --force "$id" >&2 && continue 2
    sleep 2
  done
  fail "stale member $id could not be removed"
done
