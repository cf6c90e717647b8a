# Join by the Engine API: the token reaches curl by stdin, and no command line. A join that times out
# goes on in the background (moby, daemon/cluster/swarm.go): it is waited for, not repeated.
{% set ns = namespace(addresses=[]) %}
{% for values in outputs.values() %}
{% for given in values.by_machine.values() %}
{% if given.manager_addr is defined and given.manager_addr %}
{% set ns.addresses = ns.addresses + [given.manager_addr] %}
{% endif %}
{% endfor %}
{% endfor %}
{% set address = machine.cluster_address or machine.address %}
ask_settled_node
if [ "$node_state" = active ]; then
  {% if params.role == "manager" %}
  fail "this node is a worker of the cluster: promote it on a manager (docker node promote $node_name), then apply again"
  {% else %}
  fail "this node is a manager of the cluster: demote it on another manager (docker node demote $node_name), then apply again"
  {% endif %}
fi
[ "$node_state" = inactive ] || fail "this node's Swarm state is '$node_state': see 'docker info'"
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
for ((try = 0; try < 60; try++)); do
  try_node || true
  case $node_state in
    active) exit 0 ;;
    inactive | error) [ "$status" = timeout ] || break ;;
  esac
  sleep 2
done
fail "the join did not end ($status, state '$node_state'): $(head -c 500 "$RW_DIR/join-answer" 2>/dev/null) $node_error"
