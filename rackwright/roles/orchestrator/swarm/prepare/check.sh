# Are the workload's image and the place for its evidence here?
image=rackwright/workload:{{ artifacts[params.workload].digest[:16] }}
{% raw %}
ask() { timeout 30 docker info --format "{{$1}}"; }
{% endraw %}

[ -n "$(ask .ServerVersion)" ] || fail "dockerd does not answer"
docker image inspect "$image" >/dev/null 2>&1 || unsatisfied "$image is not loaded"
[ -d /var/lib/rackwright/proof ] || unsatisfied "/var/lib/rackwright/proof is missing"
satisfied
