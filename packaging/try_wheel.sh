#!/bin/sh
# Installs a wheel into a bare environment and runs the quick start there, once for each extra.
#
#   sh packaging/try_wheel.sh dist/lfadsx-0.1.0-py3-none-any.whl                  all extras but cuda
#   EXTRAS="plot nwb" PYTHON=python3.12 sh packaging/try_wheel.sh dist/*.whl      some extras, another Python
set -eu
wheel=$(realpath "$1")
root=$(cd "$(dirname "$0")/.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for extra in ${EXTRAS:-none plot report log xarray nwb pynapple neo all}; do
    rm -rf bare
    "${PYTHON:-python3}" -m venv bare
    if [ "$extra" = none ]; then named=$wheel; else named="$wheel[$extra]"; fi
    bare/bin/python -m pip install --quiet "$named"
    bare/bin/lfadsx --version
    bare/bin/python "$root/packaging/quick_start.py" "$extra"
    echo "$extra: the quick start runs"
done
