# Lists a stage's attempts on this machine. $1: the stage's directory.
# Prints "boot ID", then "NUMBER alive|done|lost|claimed" a line; a code follows done.
set -u
parent=$1
echo "boot $(cat /proc/sys/kernel/random/boot_id)"
for directory in "$parent"/*/; do
  directory=${directory%/}
  [ -d "$directory" ] || continue
  number=${directory##*/}
  if [ -e "$directory/exit" ]; then
    echo "$number done $(cat "$directory/exit")"
  elif [ -e "$directory/alive" ] && ! flock -n "$directory/alive" true; then
    echo "$number alive"
  elif [ -e "$directory/launched" ]; then
    echo "$number lost"
  else
    echo "$number claimed"
  fi
done
