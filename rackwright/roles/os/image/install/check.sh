# Does this machine run the installation that the plan means? Asked in the installed OS.
{% if erase %}
want={{ erase.install_id | q }}
{% elif installed %}
want={{ installed.install_id | q }}
{% else %}
want=""
{% endif %}
marker=/etc/rackwright/installed.json

[ ! -e /etc/rackwright/ramdisk ] || unsatisfied "the machine runs the ramdisk"
[ -r "$marker" ] || unsatisfied "no installation of ours is on this machine"
have=$(jq -er .install_id "$marker")
[ -n "$want" ] || unsatisfied "no installation of this machine is on record"
[ "$have" = "$want" ] || unsatisfied "the machine runs installation $have, wanted is $want"
satisfied
