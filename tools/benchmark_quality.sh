#!/usr/bin/env bash
# Scores of all classical methods and all bundled models: on a drawn scene, of which docs/ has pictures,
# and on the folders of scenes in SCENES, of which build/benchmark has (their images may not be ours).
# FULL: patterns of the scenes to score at full resolution, too (all of them without).
# RESUME: 1 keeps the figures of an earlier run, but of models that changed.
# ADAPT: minutes to adapt CrossDiff on one scene per table. CNN: weights of training/cnn_baseline.py.
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=build/benchmark
mkdir -p "$OUT/drawn"
.venv/engine/bin/whetstone demo --scene-only --out-dir "$OUT/drawn" >/dev/null 2>&1
for kind in pan ms gt; do mv "$OUT/drawn/$kind.tif" "$OUT/drawn/drawn_$kind.tif"; done
words=(--methods all --models bundled --coregister --consistency)
# shellcheck disable=SC2206
[ -z "${CNN:-}" ] || words+=(--cnn "$CNN")
[ -z "${FULL:-}" ] || { set -f && words+=(--full $FULL) && set +f; }
# shellcheck disable=SC2206
[ -z "${ADAPT:-}" ] || words+=(--adapt "$ADAPT")
# shellcheck disable=SC2086
.venv/engine/bin/python training/evaluate.py "$OUT/drawn" ${SCENES:-} "${words[@]}" \
    --pictures "$OUT" --shown 'drawn*' \
    --json "$OUT/scores.json" ${RESUME:+--resume} --markdown docs/benchmarks.md
printf 'benchmark: docs/benchmarks.md; pictures of your scenes in %s\n' "$OUT"
