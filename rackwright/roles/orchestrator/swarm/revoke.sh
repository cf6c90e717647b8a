# A new token takes the place of the one that was handed out; nobody sees it here.
docker swarm join-token --quiet --rotate {{ params.role | q }} >/dev/null
