# What runs on this machine, as its daemon says.
command -v systemctl >/dev/null || fail "no systemd here"
systemctl is-enabled --quiet docker.service || fail "docker.service is not enabled: a reboot would stop it"
{% raw %}
timeout 60 docker info --format '{"runtime":"docker","version":{{json .ServerVersion}},"storage_driver":{{json .Driver}},"cgroup_driver":{{json .CgroupDriver}},"cgroup_version":{{json .CgroupVersion}},"logging_driver":{{json .LoggingDriver}},"root_dir":{{json .DockerRootDir}},"kernel":{{json .KernelVersion}}}'
{% endraw %}
