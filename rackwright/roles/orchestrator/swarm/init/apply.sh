# Form the Swarm. What init prints holds a join token: it goes nowhere.
{% if cluster.id %}
fail "cluster {{ cluster.name }} is on record as {{ cluster.id }}: no second one is formed"
{% endif %}
{% set address = machine.cluster_address or machine.address %}
address={{ address | q }}
[ -n "$address" ] || fail "this machine has no cluster address"
ask_node
[ "$node_state" = inactive ] || exit 0  # an earlier attempt got this far
docker swarm init --advertise-addr "$address:{{ params.listen_port }}" \
  --listen-addr "0.0.0.0:{{ params.listen_port }}" --data-path-port {{ params.data_path_port | q }} \
  {% for pool in params.address_pools %}
  --default-addr-pool {{ pool | q }} \
  {% endfor %}
  >/dev/null
