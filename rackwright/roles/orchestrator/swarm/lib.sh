# What the scripts of this role share. Where CPUs are slow, each start of the docker client takes
# seconds: the daemon is asked by its API where curl is, and once.
{% raw %}
engine() {  # PATH [CURL OPTION...]: what a GET of the Engine API answers; fails without an answer
  local path=$1
  shift
  curl --silent --fail --max-time 30 --noproxy '*' --unix-socket /var/run/docker.sock "$@" \
    "http://localhost$path" 2>/dev/null
}

pick() {  # VARIABLE KEY JSON: sets the variable to the key's first value, "" without one
  local pattern="\"$2\":(\"([^\"]*)\"|([a-z0-9.]*))"
  if [[ $3 =~ $pattern ]]; then
    printf -v "$1" %s "${BASH_REMATCH[2]}${BASH_REMATCH[3]}"
  else
    printf -v "$1" %s ""
  fi
}

# Sets root_dir, node_name, node_state, node_id, node_addr, node_error, is_manager ("true") and
# swarm_id ("" on a worker); fails without an answer. The client's JSON has the API's structure.
try_node() {
  local said
  node_state=
  said=$(engine /info || timeout 30 docker info --format '{{json .}}') || return 1
  pick root_dir DockerRootDir "$said"
  pick node_name Name "${said#*'"DockerRootDir":'}"
  said=${said#*'"Swarm":'}
  pick node_state LocalNodeState "$said"
  pick node_id NodeID "$said"
  pick node_addr NodeAddr "$said"
  pick node_error Error "$said"
  pick is_manager ControlAvailable "$said"
  swarm_id=
  [[ ! $said =~ \"Cluster\":\{\"ID\":\"([a-z0-9]+)\" ]] || swarm_id=${BASH_REMATCH[1]}
  [ -n "$node_state" ]
}

ask_node() { try_node || fail "dockerd does not answer"; }

ask_settled_node() {  # waits while a join or a start goes on
  local try
  for ((try = 0; try < 30; try++)); do
    ask_node
    [ "$node_state" = pending ] || break
    sleep 2
  done
}

# Sets cluster_id from the node's certificate, where O is the cluster and CN the node (swarmkit,
# ca/config.go). Needs what ask_node sets.
read_cluster_id() {
  local line body='' ids=()
  if [ -r "$root_dir/swarm/certificates/swarm-node.crt" ]; then
    while read -r line; do
      case $line in *"END CERTIFICATE"*) break ;; -*) ;; *) body+=$line ;; esac
    done <"$root_dir/swarm/certificates/swarm-node.crt"
    mapfile -t ids < <(base64 -d <<<"$body" | LC_ALL=C grep -aoE '[a-z0-9]{25}[01]')
  fi
  cluster_id=${ids[0]:0:25}
  [ ${#ids[@]} -ge 2 ] && [ "${ids[1]:0:25}" = "$node_id" ] ||
    fail "the certificate of this Swarm node cannot be read"
}

no_quorum() { fail "this manager cannot ask its Swarm: it may have lost its quorum"; }

check_quorum() {  # the Swarm's managers answer through this one
  engine /swarm >/dev/null || docker node ls >/dev/null || no_quorum
}

demote() {  # one manager, only if those that stay keep a majority of reachable ones
  local id=$1 status total=0 reachable=0 row try
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
  for ((try = 0; try < 60; try++)); do
    [ "$(docker node inspect --format '{{.Spec.Role}} {{with .ManagerStatus}}manager{{end}}' "$id")" = "worker " ] && return 0
    sleep 1
  done
  fail "$id was demoted, but the Swarm still counts it as a manager"
}

still_manages() { [ "$(docker node inspect --format '{{.Spec.Role}}{{with .ManagerStatus}}manager{{end}}' "$1")" != worker ]; }

# admit: sets listed, and stale to the members with the name of a machine that says itself to be
# none (strangers). The Swarm needs a while to notice that the old installation is gone.
find_stale() {
  local id name status self waiting try
  local -A is_stranger=()
  for name in "${strangers[@]}"; do is_stranger[$name]=1; done
  for ((try = 0; try < 45; try++)); do
    stale=() waiting=
    listed=$(timeout 30 docker node ls --format '{{.ID}} {{.Hostname}} {{.Status}} {{.Self}}') || no_quorum
    while read -r id name status self; do
      if [ "$self" = true ] || [ -z "${is_stranger[${name:-none}]:-}" ]; then continue; fi
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

# proof: each of members is a line "machine id, machine, node id, role, host name, boot id".
hash_membership() {  # CLUSTER IMAGE: sets membership; a boot id is no part of it
  local row lines=$1$'\n'$2$'\n'
  for row in "${members[@]}"; do lines+=${row% *}$'\n'; done
  membership=$(printf %s "$lines" | sha256sum)
  membership=${membership%% *}
}

# Each member as the manager sees it, in one question. Sets troubles, "" if there are none, and
# seen: node id -> "host name, status, availability, what it manages".
look() {
  local row id machine node role host boot listed wanted rest
  local -A expected=()
  declare -gA seen=()
  listed=$(timeout 30 docker node ls --format '{{.ID}} {{.Hostname}} {{.Status}} {{.Availability}} {{.ManagerStatus}}') ||
    no_quorum
  while read -r node rest; do
    [ -z "$node" ] || seen[$node]=${rest/%Leader/Reachable}
  done <<<"$listed"
  troubles=
  for row in "${members[@]}"; do
    read -r id machine node role host boot <<<"$row"
    expected[$host]=1
    wanted="$host Ready Active"
    [ "$role" != manager ] || wanted="$wanted Reachable"
    [ "${seen[$node]:-absent}" = "$wanted" ] ||
      troubles="$troubles$machine: the manager says '${seen[$node]:-absent}', expected '$wanted'; "
    expected[$node]=1
  done
  while read -r node host rest; do
    [ -n "$node" ] && [ -z "${expected[$node]:-}" ] && [ -n "${expected[$host]:-}" ] || continue
    troubles="$troubles$host: stale member $node ($rest); "
  done <<<"$listed"
}

settle() {  # TRIES: a node whose daemon has just started needs a few heartbeats
  local try
  for ((try = 0; try < $1; try++)); do
    look
    [ -n "$troubles" ] || return 0
    sleep 2
  done
  return 1
}

# The record of this membership's proof, "" where none was made. Fails where nobody can say.
find_record() {
  local said name
  if said=$(engine /configs --get --data-urlencode "filters={\"label\":[\"rackwright.members=$membership\"]}"); then
    pick said Data "$said"
    base64 -d <<<"$said"
    return
  fi
  name=$(timeout 30 docker config ls --filter "label=rackwright.members=$membership" --format '{{.Name}}') || return 1
  [ -z "$name" ] || docker config inspect --format '{{printf "%s" .Spec.Data}}' "${name%%$'\n'*}"
}

# drain, forget: sets leaving to the members in question that the Swarm knows, and counts: members
# and managers of all, staying and reachable of the managers that stay. Asked for are the ids in
# by_id and the host names in by_name.
find_leaving() {
  local listed id host self status
  listed=$(timeout 30 docker node ls --format '{{.ID}} {{.Hostname}} {{.Self}} {{.ManagerStatus}}') || no_quorum
  leaving=() members=0 managers=0 staying=0 reachable=0
  while read -r id host self status; do
    [ -n "$id" ] || continue
    members=$((members + 1))
    [ -z "$status" ] || managers=$((managers + 1))
    case " ${by_id[*]} ${by_name[*]} " in
      *" $id "* | *" $host "*)
        [ "$self" != true ] || fail "$host leads this removal and leaves itself: name another manager first"
        leaving+=("$id")
        continue
        ;;
    esac
    [ -z "$status" ] || staying=$((staying + 1))
    case $status in Leader | Reachable) reachable=$((reachable + 1)) ;; esac
  done <<<"$listed"
}

tasks_of() { docker node ps --filter desired-state=running --format '{{.CurrentState}}' "$1" | grep -c '^Running' || true; }
{% endraw %}
