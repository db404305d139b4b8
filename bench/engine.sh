#!/usr/bin/env bash
# The engine beside llama.cpp and transformers: one decoder of 134 million random weights, two threads, rounds in turn.
# Builds nothing: run `cargo build --release -p loopwright-serve --example engine_speed` first. LLAMA_PYTHON is a Python with the
# packages llama-cpp-python (built for this processor), gguf and safetensors; PEER_PYTHON one with torch and transformers.
set -euo pipefail
cd "$(dirname "$0")/.."
ours="${CARGO_TARGET_DIR:-target}/release/examples/engine_speed"
rounds=${1:-3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export RAYON_NUM_THREADS=2
"$ours" write "$folder"
[ -n "${LLAMA_PYTHON:-}" ] && "$LLAMA_PYTHON" bench/engine_peer.py convert "$folder" >/dev/null 2>&1
for _ in $(seq "$rounds"); do
    "$ours" memory
    for form in f32 bf16 q8_0 q4_k; do
        /usr/bin/env time -f '{"ours_peak_kib": %M}' "$ours" run "$folder" "$form"
        if [ -n "${LLAMA_PYTHON:-}" ] && [ -e "$folder/$form.gguf" ]; then
            "$LLAMA_PYTHON" bench/engine_peer.py llama "$folder" "$form" 2>/dev/null
        fi
    done
done
if [ -n "${PEER_PYTHON:-}" ]; then "$PEER_PYTHON" bench/engine_peer.py transformers "$folder" 2>/dev/null; fi
