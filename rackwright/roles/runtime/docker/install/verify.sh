# What runs on this machine, as its daemon says.
command -v systemctl >/dev/null || fail "no systemd here"
systemctl is-enabled --quiet docker.service || fail "docker.service is not enabled: a reboot would stop it"
said=$(ask_docker) || fail "dockerd does not answer"
evidence=
for entry in version=ServerVersion storage_driver=Driver cgroup_driver=CgroupDriver \
  cgroup_version=CgroupVersion logging_driver=LoggingDriver root_dir=DockerRootDir kernel=KernelVersion; do
  pick value "${entry#*=}" "$said"
  evidence+=",\"${entry%%=*}\":\"$value\""
done
printf '{"runtime":"docker"%s}\n' "$evidence"
