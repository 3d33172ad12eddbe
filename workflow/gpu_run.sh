#!/bin/sh
# Trains what this archive holds for at most MINUTES, on all GPUs, and leaves OUT/results.tar with weights and states.
# Usage: sh run.sh MINUTES OUT; a second call goes on, also from a results.tar that was unpacked here.
# Packages: `pip download -r wheels.txt -d wheels` where there is a network, and the folder wheels beside this file.
set -eu
[ $# -eq 2 ] || { echo "Usage: sh run.sh MINUTES OUT" >&2; exit 2; }
mkdir -p "$2"
deadline=$(($(date +%s) + $1 * 60)) out=$(cd "$2" && pwd)
cd "$(dirname "$0")"
python=${PYTHON:-python3}
if [ -d wheels ] && [ ! -d .venv ]; then
    "$python" -m venv --system-site-packages .venv
    .venv/bin/python -m pip install --quiet --no-index --find-links wheels -r wheels.txt
fi
[ ! -d .venv ] || python=.venv/bin/python
export PYTHONPATH="$PWD" PYTHONWARNINGS=ignore SATSTUDY_BUILD="$PWD/build"
gpus=$("$python" -c "import satstudy.training.loop, torch; print(max(1, torch.cuda.device_count()))") ||
    { echo "run.sh: packages are missing, see wheels.txt" >&2; exit 1; }
[ ! -f data.zip ] || [ -d data ] || "$python" -m satstudy.cli.main data unpack data.zip .
status=0
while read -r training; do
    left=$((deadline - $(date +%s)))
    if [ "$left" -le 0 ]; then status=75; break; fi
    # At the end of the time the step that runs is finished, and the state saved.
    timeout --signal=TERM --kill-after=300 "$left" "$python" -m torch.distributed.run --standalone \
        --nproc-per-node "$gpus" -m satstudy.cli.main $training || status=$?
    [ "$status" -eq 0 ] || break
done < trainings.txt
tar -cf "$out/results.tar.part" build/*/train && mv "$out/results.tar.part" "$out/results.tar"
case $status in
    0) echo "run.sh: all is trained; unpack $out/results.tar in the checkout" ;;
    75 | 124) echo "run.sh: the time is up; run it again with the same OUT to go on"; status=75 ;;
esac
exit $status
