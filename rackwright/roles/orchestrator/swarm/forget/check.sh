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

[ ${#leaving[@]} -eq 0 ] || unsatisfied "still members: ${leaving[*]}"
satisfied
