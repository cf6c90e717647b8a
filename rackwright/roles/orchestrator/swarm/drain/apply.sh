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
docker node ls >/dev/null || fail "this manager cannot ask its Swarm: it may have lost its quorum"
{% raw %}
# leaving: the members in question that the Swarm knows
leaving=()
while read -r id host self; do
  case " ${by_id[*]} ${by_name[*]} " in
    *" $id "* | *" $host "*)
      [ "$self" != true ] || fail "$host leads this removal and leaves itself: name another manager first"
      leaving+=("$id")
      ;;
  esac
done < <(docker node ls --format '{{.ID}} {{.Hostname}} {{.Self}}')
tasks_of() { docker node ps --filter desired-state=running --format '{{.CurrentState}}' "$1" | grep -c '^Running' || true; }
{% endraw %}
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
{% raw %}
total=0 reachable=0
while read -r id status; do
  [ -n "$status" ] || continue
  case " ${leaving[*]} " in *" $id "*) continue ;; esac
  total=$((total + 1))
  case $status in Leader | Reachable) reachable=$((reachable + 1)) ;; esac
done < <(docker node ls --format '{{.ID}} {{.ManagerStatus}}')
[ "$total" -ge 1 ] || fail "no manager would stay"
[ "$reachable" -gt $((total / 2)) ] || fail "$reachable of $total managers would stay reachable: no quorum"

for id in "${leaving[@]}"; do docker node update --availability drain "$id" >/dev/null; done
for id in "${leaving[@]}"; do
  for _ in $(seq 300); do
    [ "$(docker node inspect --format '{{.Status.State}}' "$id")" = ready ] || break  # dead: nothing runs
    [ "$(tasks_of "$id")" != 0 ] || break
    sleep 2
  done
  [ "$(docker node inspect --format '{{.Status.State}}' "$id")" != ready ] || [ "$(tasks_of "$id")" = 0 ] ||
    fail "$id still runs tasks after ten minutes"
  if is_manager "$id"; then demote "$id"; fi
done
{% endraw %}
