# Are the workload's image and the place for its evidence here?
image=rackwright/workload:{{ artifacts[params.workload].digest[:16] }}

if ! engine "/images/$image/json" >/dev/null && ! docker image inspect "$image" >/dev/null 2>&1; then
  ask_node
  unsatisfied "$image is not loaded"
fi
[ -d /var/lib/rackwright/proof ] || unsatisfied "/var/lib/rackwright/proof is missing"
satisfied
