#!/bin/sh
# Run a command while the queue of trainings, where one runs, stands still.
#
#     sh benchmarks/studies/paused.sh COMMAND...
#
# Where none runs nothing is written and nothing is waited for. A queue that
# does not stop within a minute is no longer waited for. The mark bears the
# number of this process: the queue goes on when it is gone, however it ended.
folder=${DLDNA_STUDIES:-${XDG_CACHE_HOME:-${HOME:-}/.cache}/dldna/studies}
queue=$(cat "$folder/running" 2>/dev/null)
if [ -n "$queue" ] && kill -0 "$queue" 2>/dev/null; then
  mark="$folder/pause.$$"
  trap 'rm -f "$mark"' EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  if : >"$mark"; then
    left=${STUDIES_WAIT:-60}
    while [ "$left" -gt 0 ] && kill -0 "$queue" 2>/dev/null &&
      [ "$(cat "$folder/standing" 2>/dev/null)" != "$queue" ]; do
      sleep 1
      left=$((left - 1))
    done
  fi
fi 2>/dev/null
"$@"
