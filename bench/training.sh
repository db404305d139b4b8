#!/usr/bin/env bash
# Training speed beside PyTorch: pre-training of a decoder of five million parameters and a LoRA adapter on one of a hundred
# million, random tokens, f32, two threads; and PyTorch's bf16 autocast and torch.compile. Three rounds, in turn.
# Builds nothing: run `cargo build --release -p loopwright-train --example beside_torch` first, and give in PEER_PYTHON a
# Python that has the packages torch, transformers and peft.
set -euo pipefail
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-target}"
python=${PEER_PYTHON:-python3}
rounds=${1:-3}
export RAYON_NUM_THREADS=2 THREADS=2
for _ in $(seq "$rounds"); do
    /usr/bin/env time -f '{"ours_peak_kib": %M}' "$target/release/examples/beside_torch"
    "$python" bench/training_peer.py eager 2>/dev/null
done
"$python" bench/training_peer.py bf16 2>/dev/null
"$python" bench/training_peer.py compile 2>/dev/null || echo '{"mode": "compile", "failed": true}'
