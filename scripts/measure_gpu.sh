#!/usr/bin/env bash
# Everything that one GPU is asked, in one go: are the programs right, which layout is fastest,
# how fast is each, and what does a served token take. Each part has its minutes and leaves its
# files in the folder; a part that fails does not stop the next.
#
#   scripts/measure_gpu.sh FOLDER [MINUTES]
#
# The layouts that won replace qbench/kernels/gemm/tuned/h100.json, and what follows runs with them:
# look at the difference before you keep it.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:?say where the results go}
minutes=${2:-16}
mkdir -p "$out"
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1

part() { # share of the minutes, name, command
  local share=$1 name=$2 start=$SECONDS
  shift 2
  timeout "$(( minutes * 60 * share / 100 ))" "$@" > "$out/$name.log" 2>&1
  echo "$name: exit $?, $(( SECONDS - start )) s"
  tail -n 12 "$out/$name.log"
}

# The tests' own servers and settings are not needed here; most of their time goes into compiling.
part 15 tests xargs -P 8 -n 1 -a <(ls tests/gpu/test_*.py) \
  python3 -m pytest -q --noconftest -c /dev/null --rootdir=. -p no:cacheprovider
part 30 tune python3 scripts/tune_kernels.py --out "$out" --minutes "$(( minutes * 28 / 100 ))"
[ -s "$out/winners.json" ] && cp "$out/winners.json" qbench/kernels/gemm/tuned/h100.json
part 35 speed python3 -m qbench kernels speed --rows "$out/speed.jsonl" --minutes "$(( minutes * 33 / 100 ))"
part 20 served python3 scripts/bench_embedded_gpu.py --out "$out/served.json" --batches 1,8,64 \
  --formats bf16,w4a16,fp8,w8a8,mxfp4a16,nvfp4a16
