# Install what is missing, write the configuration if it changed, start. Never reboots.
min_version={{ params.min_version | q }}
export DEBIAN_FRONTEND=noninteractive

command -v systemctl >/dev/null || fail "no systemd here: Rackwright cannot keep Docker running"

is_new_enough() {
  command -v dockerd >/dev/null && command -v docker >/dev/null || return 1
  is_at_least "$min_version" "$(dockerd --version | sed -E 's/^Docker version ([0-9.]+).*/\1/')"
}

needs_apt() {
  command -v apt-get >/dev/null ||
    fail "no apt-get here: install Docker $min_version or newer by hand, then apply again"
}

# The packages' own scripts would have systemd read all its units anew, one after the other, and start
# Docker in between. While they run, both wait for the end of this script.
defer_systemctl() {  # DIRECTORY: where the stand-in goes, to be first in PATH
  mkdir "$1"
  cat >"$1/systemctl" <<STAND_IN
#!/bin/sh
case " \$* " in *" daemon-reload "* | *" start "*) exit 0 ;; esac
exec $(command -v systemctl) "\$@"
STAND_IN
  chmod 0755 "$1/systemctl"
}

# What the machine has in the same or a newer version stays as it is. Another's lock is waited for.
install_packages() {  # DIRECTORY
  local try
  if [ ! -e /etc/rackwright/installed.json ]; then  # no image of ours: are all dependencies there?
    apt-get --quiet=2 --yes --simulate --allow-downgrades --no-install-recommends \
      -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=/dev/null \
      install "$1"/*.deb >/dev/null || fail "the bundle's packages do not fit this machine"
  fi
  defer_systemctl "$1/bin"
  for ((try = 0; try < 90; try++)); do
    PATH=$1/bin:$PATH dpkg --skip-same-version --refuse-downgrade --force-confold \
      --install "$1"/*.deb >"$1/log" 2>&1 && return 0
    grep -q 'lock' "$1/log" || break
    sleep 2
  done
  tail -n 15 "$1/log" >&2
  fail "dpkg could not install the bundle's packages"
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
  install_packages "$directory"
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
if [ ! -e "$config" ] || [ "$(<"$config")" != "$wanted" ]; then
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
  is_changed=yes
fi

# On a slow machine systemd takes seconds to read its units anew, and enabling one makes it do so.
for unit in docker.service containerd.service; do
  case $(systemctl is-enabled "$unit" 2>/dev/null || true) in
    disabled) systemctl enable --quiet "$unit" ;;
  esac
done
case $(systemctl show --property NeedDaemonReload --value docker.service docker.socket containerd.service) in
  *yes*) systemctl daemon-reload ;;
esac
start=start
if [ -n "$is_changed" ] && systemctl is-active --quiet docker.service; then start=restart; fi
if ! systemctl "$start" docker.service; then  # it may have failed too often before
  systemctl reset-failed docker.service docker.socket containerd.service 2>/dev/null || true
  systemctl "$start" docker.service || say_why "docker.service did not $start"
fi
for ((try = 0; try < 60; try++)); do
  if said=$(ask_docker); then
    pick version ServerVersion "$said"
    is_at_least "$min_version" "$version" ||
      fail "Docker $min_version or newer was asked for, and this source has $version"
    exit 0
  fi
  sleep 1
done
say_why "dockerd does not answer"
