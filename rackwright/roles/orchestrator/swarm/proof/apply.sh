# Have the Swarm's scheduler put one task on every member. Each prints the nonce with what it knows
# of its node; the manager reads all of it back through the Swarm, and the node keeps a copy.
{% set ns = namespace(rows=[], id=cluster.id) %}
{% for values in outputs.values() %}
{% for machine_id, given in values.by_machine.items() %}
{% if given.cluster_id is defined and given.node_id is defined %}
{% set ns.id = given.cluster_id %}
{% set ns.rows = ns.rows + [[machine_id, given.machine, given.node_id, given.role, given.hostname, given.boot_id] | join(" ")] %}
{% endif %}
{% endfor %}
{% endfor %}
cluster={{ ns.id | q }}
image=rackwright/workload:{{ artifacts[params.workload].digest[:16] }}
# machine id, machine, node id, role, host name, boot id: what each member said of itself
members=(
{% for row in ns.rows | unique | sort %}
  {{ row | q }}
{% endfor %}
)
hash_membership "$cluster" "$image"
directory=/var/lib/rackwright/proof
[ ${#members[@]} -gt 0 ] || fail "no machine of this run is a member"
{% raw %}
# What a proof that was killed left behind.
for old in $(docker service ls --quiet --filter label=rackwright.proof); do docker service rm "$old" >/dev/null; done

settle 60 || fail "$troubles"
nodes=()
for row in "${members[@]}"; do
  read -r _ _ node _ <<<"$row"
  nodes+=("$node")
done
nonce=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
service=rackwright-proof-${nonce:0:12}

cleanup() {
  docker service rm "$service" >/dev/null 2>&1 || true
  for node in "${nodes[@]}"; do
    docker node update --label-rm rackwright.proof "$node" >/dev/null 2>&1 || true
  done
}
trap cleanup EXIT
for node in "${nodes[@]}"; do
  docker node update --label-add "rackwright.proof=$nonce" "$node" >/dev/null
done

# By its id: a name would send every node to a registry first, and wait for that to fail
# (moby, daemon/cluster/executor/container/adapter.go, pullImage).
image_id=$(docker image inspect --format '{{.Id}}' "$image")

# shellcheck disable=SC2016  # the task's shell expands these, not ours
task='line="rackwright-proof $RW_NONCE $RW_NODE $RW_HOST $RW_TASK $(cat /proc/sys/kernel/random/boot_id)"
echo "$line"; echo "$line" >/proof/new && mv /proof/new /proof/last; exec sleep 3600'
docker service create --quiet --detach --no-resolve-image --name "$service" \
  --label "rackwright.proof=$nonce" --mode replicated --replicas ${#members[@]} \
  --replicas-max-per-node 1 --constraint "node.labels.rackwright.proof==$nonce" \
  --restart-condition on-failure --restart-delay 2s --restart-max-attempts 5 \
  --stop-grace-period 1s --stop-signal KILL --mount "type=bind,source=$directory,target=/proof" \
  --env "RW_NONCE=$nonce" --env 'RW_NODE={{.Node.ID}}' --env 'RW_HOST={{.Node.Hostname}}' \
  --env 'RW_TASK={{.Task.ID}}' "$image_id" /bin/sh -c "$task" >/dev/null

running() {
  docker service ps --filter desired-state=running --no-trunc --format '{{.CurrentState}}' "$service" | grep -c '^Running' || true
}
for ((try = 0; try < 120; try++)); do
  count=$(running)
  [ "$count" = ${#members[@]} ] && break
  sleep 1
done
if [ "$count" != ${#members[@]} ]; then
  docker service ps --no-trunc --format '{{.Node}}: {{.CurrentState}} {{.Error}}' "$service" | head -c 2000 >&2
  timeout 20 docker service logs --raw --tail 3 "$service" >&2 || true
  fail "not every task of the proof runs"
fi

for ((try = 0; try < 30; try++)); do
  log=$(timeout 30 docker service logs --raw "$service" 2>/dev/null | grep "^rackwright-proof $nonce " || true)
  proved='' missing=''
  for row in "${members[@]}"; do
    read -r id machine node role host boot <<<"$row"
    said=$(grep " $node $host " <<<"$log" | tail -n 1 || true)
    if [ -z "$said" ]; then missing="$missing $machine"; continue; fi
    read -r _ _ _ _ task_id boot_seen <<<"$said"
    [ "$boot_seen" = "$boot" ] ||
      fail "$machine: the task ran on boot $boot_seen, the machine says it is on $boot"
    proved="$proved,{\"machine_id\":\"$id\",\"machine\":\"$machine\",\"name\":\"$host\",\"node_id\":\"$node\",\"role\":\"$role\",\"status\":\"ready\",\"nonce\":\"$nonce\",\"task\":\"$task_id\",\"boot_id\":\"$boot_seen\"}"
  done
  [ -n "$missing" ] || break
  sleep 2
done
[ -z "$missing" ] || fail "no nonce came from$missing: tasks run there, but the Swarm cannot read them (MTU, ports 7946 and 4789?)"

# The record lies in the Swarm itself: it outlives this manager and our history.
old=$(docker config ls --quiet --filter label=rackwright.proof)
printf '{"cluster_id":"%s","nonce":"%s","service":"%s","image":"%s","nodes":[%s]}\n' \
  "$cluster" "$nonce" "$service" "$image" "${proved#,}" |
  docker config create --label "rackwright.members=$membership" --label rackwright.proof=1 "$service" - >/dev/null
for id in $old; do docker config rm "$id" >/dev/null; done
{% endraw %}
