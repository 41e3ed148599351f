#!/bin/sh
# A script that counts, and goes on counting after every edit and crash. It knows nothing of a supervisor: its state is a
# file, which it reads when it starts and replaces by a rename.
#
#   zeroth-supervise --protocol --watch worker/examples/counter.sh -- zerothctl worker run --state count.json -- sh worker/examples/counter.sh
#
# Change step and save: the next line goes on from the last one. `zerothctl rollback` returns to an earlier count.
step=1
file=${ZEROTH_STATE_FILE:-count.json}

count=0
[ ! -e "$file" ] || read -r count <"$file"
while :; do
  sleep 1 &
  wait $!
  count=$((count + step))
  echo "$count" >"$file.new" && mv "$file.new" "$file"
  echo "count $count"
done
