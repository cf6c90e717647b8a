# Docker is there, new enough, configured as asked, enabled, and answers. Reads only.
{% set options = {"exec-opts": ["native.cgroupdriver=systemd"], "log-driver": "json-file",
                  "log-opts": {"max-size": params.log_max_size,
                               "max-file": params.log_max_file | string}} %}
{% if params.data_root %}
{% set options = dict(options, **{"data-root": params.data_root}) %}
{% endif %}
{% if params.registry_mirrors %}
{% set options = dict(options, **{"registry-mirrors": params.registry_mirrors}) %}
{% endif %}
config=/etc/docker/daemon.json
wanted={{ options | tojson | q }}

for program in dockerd docker; do
  command -v "$program" >/dev/null || unsatisfied "Docker is not installed: there is no $program"
done
command -v systemctl >/dev/null || fail "no systemd here: Rackwright cannot keep Docker running"

enabled=$(systemctl is-enabled docker.service 2>/dev/null || true)
[ "$enabled" = enabled ] || unsatisfied "docker.service is ${enabled:-unknown to systemd}"
{% if params.manage_config %}
[ -e "$config" ] || unsatisfied "$config is missing"
[ "$(cat "$config")" = "$wanted" ] || unsatisfied "$config differs from what is asked for"
{% endif %}

# One that just started may take a moment; one that is stopped will not.
{% raw %}
for _ in $(seq 15); do
  version=$(timeout 20 docker version --format '{{.Server.Version}}' 2>/dev/null) && break
  version=
  case $(systemctl is-active docker.service 2>/dev/null || true) in
    active | activating | reloading) sleep 2 ;;
    *) unsatisfied "docker.service is not running" ;;
  esac
done
{% endraw %}
[ -n "$version" ] || fail "docker.service is active and does not answer: see 'journalctl -u docker'"

oldest=$(printf '%s\n%s\n' {{ params.min_version | q }} "${version%%[+~-]*}" | sort -V | head -n 1)
[ "$oldest" = {{ params.min_version | q }} ] || unsatisfied "Docker is $version"
satisfied
