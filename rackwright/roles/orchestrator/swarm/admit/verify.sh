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

find_stale
[ ${#stale[@]} -eq 0 ] || fail "stale members: ${stale[*]}"
printf '{"joining":%d,"members":%d,"stale":0}\n' "${#strangers[@]}" "$(nodes | wc -l)"
