# Removes what the recipe lists (one glob a line in $RW_PRUNE), then rebuilds the module index.
set -euo pipefail
shopt -s nullglob dotglob
cd -- "$1"
while IFS= read -r pattern; do
  eval "paths=( $pattern )"  # brace and glob expansion; the patterns are the recipe's own
  [ -z "${paths[*]}" ] || rm -rf -- "${paths[@]}"
done < "$RW_PRUNE"
for modules in usr/lib/modules/*; do
  chroot "$1" depmod "$(basename "$modules")"
done
