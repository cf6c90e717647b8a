# A worker leaves; a manager is refused by dockerd itself, because it was not demoted.
docker swarm leave >/dev/null
rm -rf /var/lib/rackwright/proof/last
