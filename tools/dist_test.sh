#!/usr/bin/env bash
# Evaluate on several GPUs (or processes): dist_test.sh CONFIG CHECKPOINT GPUS [more arguments of test.py]
#   PORT         free port for the processes to meet            (29502)
set -euo pipefail
if [ $# -lt 3 ] || ! [[ "$3" =~ ^[1-9][0-9]*$ ]]; then
  echo "usage: bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test.py]" >&2
  exit 2
fi
config="$1"; checkpoint="$2"; gpus="$3"; shift 3
here="$(cd "$(dirname "$0")" && pwd)"
source "$here/pick_python.sh"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$(( ($(nproc) + gpus - 1) / gpus ))}"
exec "$PYTHON" "$here/launch.py" \
  --nnodes="${NNODES:-1}" --node-rank="${NODE_RANK:-0}" --master-addr="${MASTER_ADDR:-127.0.0.1}" \
  --master-port="${PORT:-29502}" --nproc-per-node="$gpus" \
  "$here/test.py" "$config" "$checkpoint" --launcher pytorch "$@"
