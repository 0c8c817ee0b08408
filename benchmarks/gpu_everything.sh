#!/bin/sh
# Everything that only a GPU can show, in one command and in under ten minutes:
#
#     sh benchmarks/gpu_everything.sh LOGS [NAME [OPTIONS OF gpu.py ...]]
#
# LOGS gets a log of each step, the results and the picture. NAME is what results are saved as, gpu-NAME.json and
# training-NAME.json; by default the GPU's own name. Options such as --model FOLDER go on to gpu.py.
#
# Before it, on a fresh machine, in the checkout:
#
#     pip install -e '.[gpu,tensorrt-rtx,export]' pytest hypothesis nibabel
#
# and for TensorRT's rows '.[tensorrt]' too. PYTHON names another Python than "python". Each step has a time of its own
# and may fail without the others: TESTS_S, GPU_S and TRAINING_S are their seconds. To fit, the training is timed in one
# round and in bf16 alone; TRAINING names other options of training.py. Paths are told from the checkout's root. Nothing
# is set on the GPU. Exits with 5 where there is no GPU, with 1 when a step failed.

set -u
cd "$(dirname "$0")/.." || exit 1
if [ $# -lt 1 ]; then
    echo "usage: sh benchmarks/gpu_everything.sh LOGS [NAME [OPTIONS OF gpu.py ...]]" >&2
    exit 2
fi
python=${PYTHON:-python}
logs=$1
shift
mkdir -p "$logs" || exit 1
gpu=$("$python" -c '
import sys
from mr2ct.errors import DeviceError
from mr2ct.gpu import first_gpu
try:
    print(first_gpu().name)
except DeviceError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
') || exit $?
name=$(echo "$gpu" | tr '[:upper:]' '[:lower:]' | tr -cs 'a-z0-9\n' '-')
if [ $# -gt 0 ]; then
    name=$1
    shift
fi
failed=0

# step NAME SECONDS COMMAND ...: runs it with a log; it is asked to end after so many seconds, and made to 15 later
step() {
    log=$logs/$1.log
    seconds=$2
    shift 2
    timeout --kill-after=15 "$seconds" "$@" >"$log" 2>&1
    code=$?
    tail -n 40 "$log" | cut -c 1-160
    echo "== $log: exit code $code"
    [ $code -eq 0 ] || failed=1
}

gpu_seconds=${GPU_S:-220}
step tests "${TESTS_S:-200}" "$python" -m pytest -m gpu tests -p no:cacheprovider --continue-on-collection-errors
step gpu "$gpu_seconds" \
    "$python" benchmarks/gpu.py --save "gpu-$name" --timeout 90 --within $((gpu_seconds - 60)) "$@"
# shellcheck disable=SC2086  # options are words
step training "${TRAINING_S:-165}" \
    "$python" benchmarks/training.py --device cuda --batch 1 8 16 --compile --save "training-$name" \
    ${TRAINING:---precision bf16-mixed --rounds 1 --steps 10}
for made in "benchmarks/results/gpu-$name.json" "benchmarks/results/training-$name.json" "docs/gpu-$name.png"; do
    [ ! -f "$made" ] || cp "$made" "$logs"
done
exit $failed
