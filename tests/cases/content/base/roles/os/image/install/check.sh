marker=/etc/rackwright/installed.json
[[ -e $marker ]] || unsatisfied "no marker"
grep -qF {{ (erase.install_id if erase else installed.install_id) | q }} "$marker" || unsatisfied other
