set -x
echo {{ parms.mode | q }}
