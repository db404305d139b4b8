#!/usr/bin/env bash
# Training speed beside PyTorch: pre-training of a decoder of five million parameters and a LoRA adapter on one of a hundred
# million, random tokens, two threads, in f32 and in bf16 (autocast). Rounds in turn; then ours without the tile unit, and
# torch.compile.
# Builds nothing: run `cargo build --release -p loopwright-train --example beside_torch` first, and give in PEER_PYTHON a
# Python that has the packages torch, transformers and peft.
set -euo pipefail
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-target}"
python=${PEER_PYTHON:-python3}
rounds=${1:-3}
export RAYON_NUM_THREADS=2 THREADS=2
for _ in $(seq "$rounds"); do
    for mode in f32 bf16; do
        /usr/bin/env time -f '{"ours_peak_kib": %M}' "$target/release/examples/beside_torch" "$mode"
        "$python" bench/training_peer.py "${mode/f32/eager}" 2>/dev/null
    done
done
LOOPWRIGHT_NO_AMX=1 "$target/release/examples/beside_torch" f32
LOOPWRIGHT_NO_AMX=1 "$target/release/examples/beside_torch" bf16
"$python" bench/training_peer.py compile 2>/dev/null || echo '{"mode": "compile", "failed": true}'
