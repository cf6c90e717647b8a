# Join by the Engine API: the token reaches curl by stdin, and no command line. A join that times out
# goes on in the background (moby, daemon/cluster/swarm.go): it is waited for, not repeated.
{% set ns = namespace(id=cluster.id, addresses=[]) %}
{% for values in outputs.values() %}
{% for given in values.by_machine.values() %}
{% if given.cluster_id is defined %}
{% set ns.id = given.cluster_id %}
{% endif %}
{% if given.manager_addr is defined and given.manager_addr %}
{% set ns.addresses = ns.addresses + [given.manager_addr] %}
{% endif %}
{% endfor %}
{% endfor %}
wanted={{ ns.id | q }}
{% raw %}
ask() { timeout 30 docker info --format "{{$1}}"; }
{% endraw %}
state() {  # waits while a join or a start goes on
  local now _
  for _ in $(seq 30); do
    now=$(ask .Swarm.LocalNodeState) || fail "dockerd does not answer"
    [ "$now" = pending ] || break
    sleep 2
  done
  printf '%s\n' "$now"
}

{% set address = machine.cluster_address or machine.address %}
now=$(state)
if [ "$now" = active ]; then
  {% if params.role == "manager" %}
  fail "this node is a worker of the cluster: promote it on a manager (docker node promote $(ask .Name)), then apply again"
  {% else %}
  fail "this node is a manager of the cluster: demote it on another manager (docker node demote $(ask .Name)), then apply again"
  {% endif %}
fi
[ "$now" = inactive ] || fail "this node's Swarm state is '$now': see 'docker info'"
command -v curl >/dev/null || fail "curl is missing here: install it, then apply again"
token=$(secret join_token)
[[ $token =~ ^SWMTKN-1-[a-z0-9]+-[a-z0-9]+$ ]] || fail "what was minted is no join token"
{% if not ns.addresses %}
fail "no manager's address is known"
{% endif %}

status=$(
  printf '{"ListenAddr":"0.0.0.0:%s","AdvertiseAddr":"%s","RemoteAddrs":%s,"JoinToken":"%s"}' \
    {{ params.listen_port | q }} {{ address | q }} {{ ns.addresses | unique | list | tojson | q }} "$token" |
    curl --silent --show-error --max-time 100 --unix-socket /var/run/docker.sock \
      --header 'Content-Type: application/json' --data-binary @- \
      --output "$RW_DIR/join-answer" --write-out '%{http_code}' http://localhost/swarm/join
) || status=timeout
unset token
case $status in
  200) ;;
  timeout | 5*) : "it may go on in the background" ;;
  *) fail "dockerd refused the join ($status): $(head -c 500 "$RW_DIR/join-answer")" ;;
esac
for _ in $(seq 60); do
  now=$(ask .Swarm.LocalNodeState || true)
  case $now in
    active) exit 0 ;;
    inactive | error) [ "$status" = timeout ] || break ;;
  esac
  sleep 2
done
fail "the join did not end ($status, state '$now'): $(head -c 500 "$RW_DIR/join-answer" 2>/dev/null) $(ask .Swarm.Error)"
