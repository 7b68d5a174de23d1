#!/usr/bin/env bash
# All figures of a GPU in one call of at most 8 minutes, the most valuable ones first.
#
#   bash benchmarks/gpu.sh                                 figures in gpu_results/
#   bash benchmarks/gpu.sh FOLDER                          figures in FOLDER
#   bash benchmarks/gpu.sh FOLDER --parts facts steps      only some parts
#   bash benchmarks/gpu.sh FOLDER --miniature              tiny sizes, also on a CPU: shows only that all parts run
#   PYTHON=.venv/bin/python bash benchmarks/gpu.sh         another Python; it needs JAX and the packages of lfadsx
#   LFADS_TORCH=CLONE bash benchmarks/gpu.sh               lfads-torch of this clone is timed beside ours
#
# No network and no data are needed. benchmarks/gpu.py says what is written, benchmarks/gpu_parts.py what is measured.
set -u
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
# The driver keeps to its own deadline; `timeout` is there in case that it hangs.
exec timeout -k 5 475 "${PYTHON:-python3}" -m benchmarks.gpu "$@"
