#!/usr/bin/env bash
# Train on several GPUs (or processes): dist_train.sh CONFIG GPUS [more arguments of train.py]
#   PORT         free port for the processes to meet            (29500)
#   NNODES, NODE_RANK, MASTER_ADDR   several machines           (1, 0, 127.0.0.1)
# Seed 1087365040 as in the original script, unless --seed is given here (the original overrode it silently) or a run
# is resumed, which goes on with its own.
set -euo pipefail
if [ $# -lt 2 ] || ! [[ "$2" =~ ^[1-9][0-9]*$ ]]; then
  echo "usage: bash tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]" >&2
  exit 2
fi
config="$1"; gpus="$2"; shift 2
here="$(cd "$(dirname "$0")" && pwd)"
source "$here/pick_python.sh"
seed=(--seed 1087365040)
for argument in "$@"; do
  case "$argument" in --seed | --seed=* | --resume-from | --resume-from=*) seed=() ;; esac
done
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$(( ($(nproc) + gpus - 1) / gpus ))}"
exec "$PYTHON" "$here/launch.py" \
  --nnodes="${NNODES:-1}" --node-rank="${NODE_RANK:-0}" --master-addr="${MASTER_ADDR:-127.0.0.1}" \
  --master-port="${PORT:-29500}" --nproc-per-node="$gpus" \
  "$here/train.py" "$config" --launcher pytorch ${seed[@]+"${seed[@]}"} "$@"
