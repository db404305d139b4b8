#!/usr/bin/env bash
# Our quality filters and datatrove's on the same file, one after the other on one core of this machine, with the ratio.
# Usage: bench/quality.sh TEXTS.jsonl     (a document per line, {"text": "…"}; .ci/peers/quality_texts.py makes such files)
# PYTHON names a Python with the packages of .ci/peers/quality_requirements.txt. Ours is built first, in release mode.
# Both figures are processor time of one thread; datatrove is given words split at white space, its cheapest choice, and
# also its default words (spaCy's) with SPACY=1.
set -euo pipefail
texts=$(realpath "$1")
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
target=${CARGO_TARGET_DIR:-target}
binary=${QUALITY_SPEED:-$target/release/examples/quality_speed}
[ -n "${QUALITY_SPEED:-}" ] || cargo build --quiet --release -p loopwright-corpus --example quality_speed
core=$(taskset -cp $$ | sed 's/.*: //; s/[,-].*//')
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
taskset -c "$core" "$python" .ci/peers/datatrove_filters.py speed "$texts" >"$scratch/theirs.json"
taskset -c "$core" "$binary" "$texts" --json >"$scratch/ours.json"
if [ -n "${SPACY:-}" ]; then
  taskset -c "$core" "$python" .ci/peers/datatrove_filters.py speed "$texts" --words spacy >"$scratch/spacy.json"
fi
"$python" - "$scratch" <<'PY'
import json, os, sys
read = lambda name: json.load(open(f"{sys.argv[1]}/{name}.json")) if os.path.exists(f"{sys.argv[1]}/{name}.json") else None
ours, theirs, spacy = read("ours"), read("theirs"), read("spacy")
print("| filter | ours, docs/s | ours, MB/s | datatrove, docs/s | ratio |" + (" with spaCy, docs/s | ratio |" if spacy else ""))
print("|---|---|---|---|---|" + ("---|---|" if spacy else ""))
for name in theirs:
    us, them = ours[name], theirs[name]["docs_per_s"]
    row = f"| {name} | {us['docs_per_s']:,.0f} | {us['mb_per_s']:.0f} | {them:,.0f} | {us['docs_per_s'] / them:.0f} |"
    if spacy:
        row += f" {spacy[name]['docs_per_s']:,.0f} | {us['docs_per_s'] / spacy[name]['docs_per_s']:.0f} |"
    print(row)
PY
