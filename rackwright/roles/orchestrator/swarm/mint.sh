# Runs on a manager; its output is the secret.
docker swarm join-token --quiet {{ params.role | q }}
