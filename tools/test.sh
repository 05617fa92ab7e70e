#!/usr/bin/env bash
# Every test: on the Python of QGIS, on the engine's Python (numpy 2), and in a QGIS window.
# Runs all three even if one fails, and fails if any did.
set -uo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/qgis_env.sh
. tools/qgis_env.sh
rm -rf .qgis-settings # pytest-qgis keeps its profile there
failed=()

# suite NAME "FOLDERS" COMMAND...: run the folders that hold tests.
suite() {
    local name=$1 folder present=()
    local wanted=$2
    shift 2
    for folder in $wanted; do
        if find "$folder" -name 'test_*.py' 2>/dev/null | grep -q .; then present+=("$folder"); fi
    done
    if [ ${#present[@]} -eq 0 ]; then
        printf '\ntest: %s: no tests in %s\n' "$name" "$wanted"
        return
    fi
    printf '\ntest: %s: %s\n' "$name" "${present[*]}"
    "$@" "${present[@]}" || failed+=("$name")
}

QT_QPA_PLATFORM=offscreen suite "Python of QGIS" "tests/unit tests/qgis tests/real" \
    .venv/qgis/bin/python -m pytest -q -p no:cacheprovider
# several at once, each with one thread of its own
suite "Python of the engine" "tests/unit tests/deep tests/training" \
    env QT_QPA_PLATFORM=offscreen OMP_NUM_THREADS=1 \
    .venv/engine/bin/python -m pytest -q -p no:cacheprovider -n auto --maxprocesses 4
unset QT_QPA_PLATFORM
suite "QGIS window" "tests/gui" \
    xvfb-run -a -s "-screen 0 1440x900x24" \
    .venv/qgis/bin/python -m pytest -q -p no:cacheprovider

printf '\n'
if [ ${#failed[@]} -gt 0 ]; then
    printf 'test: FAILED: %s\n' "${failed[@]}"
    exit 1
fi
printf 'test: all suites passed\n'
