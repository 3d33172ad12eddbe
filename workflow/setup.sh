#!/bin/sh
# Makes .venv from the lock file. Called by make; does nothing when nothing changed.
set -eu
cd "$(dirname "$0")/.."
stop() { echo "setup: $1" >&2; exit 1; }

fits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))'
stamp=.venv/installed
wanted=$(cat requirements.lock pyproject.toml | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && .venv/bin/python -c "$fits" 2>/dev/null; then exit 0; fi

python=
if [ -n "${PYTHON:-}" ]; then
    "$PYTHON" -c "$fits" 2>/dev/null || stop "PYTHON=$PYTHON is no Python 3.11 or 3.12 (CompressAI has wheels for no other): name one of these, or leave PYTHON out."
    python=$PYTHON
fi
for candidate in python3.11 python3.12 python3 python; do
    if [ -z "$python" ] && "$candidate" -c "$fits" 2>/dev/null; then python=$candidate; fi
done
[ -n "$python" ] || stop "no Python 3.11 or 3.12 was found (CompressAI has wheels for no other): install one, or name it with PYTHON=…"
uv=$(sed -n 's/^uv==\([^ ]*\).*/\1/p' requirements.lock)
[ -n "$uv" ] || stop "requirements.lock does not name uv, which installs the rest: make the lock file anew (make lock)."
free=$(df -Pk . | awk 'NR == 2 { print $4 }')
[ "$free" -gt 9000000 ] || [ -d .venv ] || stop "$((free / 1000000)) GB are free here and the environment takes 7: make room first."

if ! [ -x .venv/bin/python ] || ! .venv/bin/python -c "$fits" 2>/dev/null; then
    rm -rf .venv
    "$python" -m venv .venv || stop "$python cannot make virtual environments: install its venv module (Debian: python3-venv)."
fi
# Environments that uv itself made have no pip.
.venv/bin/python -m pip --version > /dev/null 2>&1 || .venv/bin/python -m ensurepip > /dev/null 2>&1 || true
echo "setup: installing what requirements.lock names into .venv (about 7 GB; a minute with a fast line)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$uv" \
    || stop "uv could not be installed: is this machine connected to a package index?"
UV_LINK_MODE=${UV_LINK_MODE:-copy} .venv/bin/python -m uv pip install --quiet --python .venv/bin/python -r requirements.lock \
    || stop "the packages could not be installed: see the line above; a second call goes on from here."
.venv/bin/python -m uv pip install --quiet --python .venv/bin/python --no-deps --editable . \
    || stop "satstudy itself could not be installed: see the line above."
echo "$wanted" > "$stamp"
