#!/usr/bin/env bash
# The whole way in one go: draw a scene, fuse it through QGIS's Processing, report on it.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/qgis_env.sh
. tools/qgis_env.sh
export QT_QPA_PLATFORM=offscreen
OUT=$ROOT/demo
LOG=$ROOT/build/demo.log
mkdir -p "$OUT"
: >"$LOG"

say() { printf 'demo: %s\n' "$*"; }

# qgis ARGUMENTS...: qgis_process, quiet unless it fails; its JSON goes to stdout.
qgis() {
    if ! "$QGIS_PROCESS" --json "$@" 2>>"$LOG"; then
        printf 'demo: qgis_process failed; the end of %s:\n' "${LOG#"$ROOT"/}" >&2
        tail -n 20 "$LOG" >&2
        return 1
    fi
}

say "drawing a scene: pan.tif, ms.tif and the truth gt.tif"
.venv/engine/bin/whetstone demo --out-dir "$OUT" --scene-only >>"$LOG"
say "starting QGIS Processing with the plugin"
"$QGIS_PROCESS" plugins enable whetstone >>"$LOG" 2>&1
say "fusing through QGIS (whetstone:ssdiff, as 'whetstone fuse' would choose)"
export WHETSTONE_ENGINE_PYTHON="$ROOT/.venv/engine/bin/python"
qgis run whetstone:ssdiff -- PAN="$OUT/pan.tif" MS="$OUT/ms.tif" OUTPUT="$OUT/fused.tif" \
    >"$ROOT/build/fused.json"
say "scoring through QGIS (whetstone:assess)"
qgis run whetstone:assess -- FUSED="$OUT/fused.tif" PAN="$OUT/pan.tif" MS="$OUT/ms.tif" \
    REFERENCE="$OUT/gt.tif" HTML="$OUT/report.html" >"$ROOT/build/assessed.json"
.venv/engine/bin/python tools/scores.py "$ROOT/build/assessed.json"
for file in fused.tif report.html; do
    [ -s "$OUT/$file" ] || { printf 'demo: %s was not written\n' "$file" >&2; exit 1; }
done
say "fused image  demo/fused.tif"
say "report       demo/report.html"
