# What the scripts of this role share.
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
{% raw %}
is_at_least() {  # OLDEST VERSION, which may have a suffix
  [ "$(printf '%s\n%s\n' "$1" "${2%%[+~-]*}" | sort -V | head -n 1)" = "$1" ]
}

# What the daemon says of itself, one line of JSON. Where CPUs are slow, a start of its client takes
# seconds: the API is asked where curl is. The client's JSON has the API's structure.
ask_docker() {
  local said
  said=$(
    curl --silent --fail --max-time 20 --noproxy '*' --unix-socket /var/run/docker.sock http://localhost/info 2>/dev/null ||
      timeout 20 docker info --format '{{json .}}' 2>/dev/null
  ) || return 1
  [[ $said == *'"ServerVersion":"'* ]] || return 1
  printf '%s\n' "$said"
}

pick() {  # VARIABLE KEY JSON: sets the variable to the key's first value, "" without one
  local pattern="\"$2\":(\"([^\"]*)\"|([a-z0-9.]*))"
  if [[ $3 =~ $pattern ]]; then
    printf -v "$1" %s "${BASH_REMATCH[2]}${BASH_REMATCH[3]}"
  else
    printf -v "$1" %s ""
  fi
}
{% endraw %}
