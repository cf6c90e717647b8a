# Install what is missing, write the configuration if it changed, start. Never reboots.
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
min_version={{ params.min_version | q }}
export DEBIAN_FRONTEND=noninteractive

command -v systemctl >/dev/null || fail "no systemd here: Rackwright cannot keep Docker running"

is_new_enough() {
  local found
  command -v dockerd >/dev/null && command -v docker >/dev/null || return 1
  found=$(dockerd --version | sed -E 's/^Docker version ([0-9.]+).*/\1/')
  [ "$(printf '%s\n%s\n' "$min_version" "$found" | sort -V | head -n 1)" = "$min_version" ]
}

needs_apt() {
  command -v apt-get >/dev/null ||
    fail "no apt-get here: install Docker $min_version or newer by hand, then apply again"
}

wanted_packages() {  # what the machine has in the same or a newer version stays as it is
  local file name version
  packages=()
  for file in "$1"/*.deb; do
    name=$(dpkg-deb --field "$file" Package)
    version=$(dpkg-query --show --showformat='${db:Status-Status} ${Version}' "$name" 2>/dev/null || true)
    case $version in
      "installed "*) version=${version#installed } ;;
      *) version= ;;
    esac
    if [ -z "$version" ] ||
      dpkg --compare-versions "$version" lt "$(dpkg-deb --field "$file" Version)"; then
      packages+=("$file")
    fi
  done
  [ ${#packages[@]} -gt 0 ] || fail "the bundle holds nothing newer than what is installed"
}

from_bundle() {  # without a network: no source is configured for this call
  local bundle={{ files.bundle | q }} directory member
  needs_apt
  directory=$(mktemp -d /var/tmp/rackwright-docker.XXXXXX)
  # shellcheck disable=SC2064  # this directory, whatever the variable says later
  trap "rm -rf '$directory'" EXIT
  while read -r member; do
    case $member in
      */* | .*) fail "the bundle holds a path, '$member', where names are expected" ;;
      *.deb | SHA256SUMS) ;;
      *) fail "the bundle holds '$member', which is no package" ;;
    esac
  done < <(tar -tf "$bundle")
  tar -xf "$bundle" -C "$directory" --no-same-owner
  (cd "$directory" && sha256sum --check --strict --quiet SHA256SUMS) ||
    fail "a package of the bundle is not what its SHA256SUMS says"
  (cd "$directory" && [ "$(find . -name '*.deb' | wc -l)" = "$(wc -l <SHA256SUMS)" ]) ||
    fail "the bundle holds packages that its SHA256SUMS does not name"
  wanted_packages "$directory"
  apt-get --quiet=2 --yes --no-install-recommends \
    -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=/dev/null \
    -o APT::Sandbox::User=root -o DPkg::Lock::Timeout=180 -o Dpkg::Use-Pty=0 \
    -o Dpkg::Options::=--force-confold install "${packages[@]}" >&2
}

from_apt() {
  needs_apt
  apt-get --quiet=2 -o DPkg::Lock::Timeout=180 update >&2
  apt-get --quiet=2 --yes --no-install-recommends -o DPkg::Lock::Timeout=180 \
    -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold install {{ params.package | q }} >&2
}

say_why() {
  journalctl --unit docker.service --lines 15 --no-pager --output cat >&2 || true
  fail "$1"
}

is_changed=
{% if params.manage_config %}
if [ ! -e "$config" ] || [ "$(cat "$config")" != "$wanted" ]; then
  mkdir -p "${config%/*}"
  chmod 0755 "${config%/*}"
  if [ -e "$config" ] && [ ! -e "$config.before-rackwright" ]; then
    cp -p "$config" "$config.before-rackwright"
  fi
  printf '%s\n' "$wanted" >"$config.new"
  chmod 0644 "$config.new"
  mv "$config.new" "$config"
  is_changed=yes
fi
{% endif %}

if [ "$(systemctl is-enabled docker.service 2>/dev/null || true)" = masked ]; then
  systemctl unmask docker.service docker.socket containerd.service
fi
if ! is_new_enough; then
  {% if params.source == "bundle" %}
  from_bundle
  {% else %}
  from_apt
  {% endif %}
  is_new_enough || fail "Docker $min_version or newer was asked for, and this source has an older one"
fi

systemctl daemon-reload
systemctl reset-failed docker.service docker.socket containerd.service 2>/dev/null || true
systemctl enable --quiet docker.service
if systemctl is-active --quiet containerd.service || systemctl cat containerd.service >/dev/null 2>&1; then
  systemctl enable --quiet containerd.service
fi
if [ -n "$is_changed" ] && systemctl is-active --quiet docker.service; then
  systemctl restart docker.service || say_why "docker.service did not restart"
else
  systemctl start docker.service || say_why "docker.service did not start"
fi
{% raw %}
for _ in $(seq 60); do
  timeout 20 docker version --format '{{.Server.Version}}' >/dev/null 2>&1 && exit 0
  sleep 1
done
{% endraw %}
say_why "dockerd does not answer"
