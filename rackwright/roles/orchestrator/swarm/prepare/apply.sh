# Load the workload's image from the pushed file, under a name that says which artifact it is.
image=rackwright/workload:{{ artifacts[params.workload].digest[:16] }}

loaded=$(docker load --quiet --input {{ files.workload | q }} | sed -n 's/^Loaded image\( ID\)\?: //p' | head -n 1)
[ -n "$loaded" ] || fail "the workload's file holds no image"
docker tag "$loaded" "$image"
mkdir -p /var/lib/rackwright/proof
chmod 0755 /var/lib/rackwright/proof
