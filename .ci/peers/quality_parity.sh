#!/usr/bin/env bash
# Compares our quality filters with datatrove's, verdict by verdict, over real datasets and random texts.
# Usage: LOOPWRIGHT_DATASETS=… .ci/peers/quality_parity.sh [NAME…]   (names: see quality_texts.py; default: all)
# PYTHON names a Python with the packages of quality_requirements.txt.
set -euo pipefail
cd "$(dirname "$0")"
python=${PYTHON:-python3}
names=("$@")
[ $# -gt 0 ] || names=(random wikitext-lines wikitext-pages gsm8k tinyshakespeare pypa-advisories banking77)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
paths=
for name in "${names[@]}"; do
  if [ "$name" = random ]; then
    "$python" quality_texts.py random 20000 7 "$scratch/$name.jsonl"
  else
    "$python" quality_texts.py "$name" "${LOOPWRIGHT_DATASETS:?names the folder of the datasets}" "$scratch/$name.jsonl"
  fi
  "$python" datatrove_filters.py verdicts "$scratch/$name.jsonl" "$scratch/$name.verdicts"
  paths="$paths${paths:+:}$scratch/$name.verdicts"
done
LOOPWRIGHT_DATATROVE_VERDICTS=$paths cargo test -p loopwright-corpus --test quality_parity -- --nocapture
