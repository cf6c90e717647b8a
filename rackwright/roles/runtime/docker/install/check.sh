# Docker is there, new enough, configured as asked, enabled, and answers. Reads only.
for program in dockerd docker; do
  command -v "$program" >/dev/null || unsatisfied "Docker is not installed: there is no $program"
done
command -v systemctl >/dev/null || fail "no systemd here: Rackwright cannot keep Docker running"

enabled=$(systemctl is-enabled docker.service 2>/dev/null || true)
[ "$enabled" = enabled ] || unsatisfied "docker.service is ${enabled:-unknown to systemd}"
{% if params.manage_config %}
[ -e "$config" ] || unsatisfied "$config is missing"
[ "$(<"$config")" = "$wanted" ] || unsatisfied "$config differs from what is asked for"
{% endif %}

# One that just started may take a moment; one that is stopped will not.
said=
for ((try = 0; try < 15; try++)); do
  said=$(ask_docker) && break
  case $(systemctl is-active docker.service 2>/dev/null || true) in
    active | activating | reloading) sleep 2 ;;
    *) unsatisfied "docker.service is not running" ;;
  esac
done
pick version ServerVersion "$said"
[ -n "$version" ] || fail "docker.service is active and does not answer: see 'journalctl -u docker'"

is_at_least {{ params.min_version | q }} "$version" || unsatisfied "Docker is $version"
satisfied
