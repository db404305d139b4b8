#!/usr/bin/env bash
# Transfer learning: a published encoder (MiniLM, six layers) fine-tuned to the 77 intents of banking77, beside the same shape
# from random weights, and beside scikit-learn's linear model on TF-IDF, all on the same split. Prints the curves.
# Needs a built `loopwright` (LOOPWRIGHT), the sets (LOOPWRIGHT_DATASETS), the encoder's folder in the layout of Hugging Face
# (MINILM), and in PEER_PYTHON a Python that has torch, transformers, scikit-learn and pandas.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
loopwright=${LOOPWRIGHT:-loopwright}
python=${PEER_PYTHON:-python3}
sets=${LOOPWRIGHT_DATASETS:?the folder of the datasets}
encoder=${MINILM:?the folder of the encoder}
scratch_lr=${SCRATCH_LR:-3e-4}
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT

settings() { # base, steps, rate, steps between validations
    cat > "$room/loopwright.toml" <<END
[project]
name = "banking"

[data.banking]
sources = ["train.csv"]
customers = ""
label = "category"
steps = [{step = "split"}]

[train.banking]
base = "$1"
method = "classify"
max_steps = $2
lr = $3
batch_size = 32
context_tokens = 64
eval_steps = $4
checkpoint_every_steps = 0
bf16 = true
END
}

cp "$sets/banking77/train.csv" "$room/train.csv"
"$python" "$here/transfer_peer.py" scratch "$encoder" "$room/scratch"
cd "$room"
settings minilm@1 1 1e-4 1
"$loopwright" data import > /dev/null
"$loopwright" data curate > /dev/null
"$loopwright" model import "$encoder" --name minilm > /dev/null
"$loopwright" model import scratch --name scratch > /dev/null
version=0
train() {
    version=$((version + 1))
    settings "$2" "$3" "$4" "$5"
    "$loopwright" train --json > /dev/null 2> "$room/log" || { cat "$room/log" >&2; exit 1; }
    "$loopwright" eval --model "banking@$version" --json 2> /dev/null > judged.json
    "$python" "$here/transfer_peer.py" curve "$1" "$room"
}
train "from random weights, 2000 steps" scratch@1 2000 "$scratch_lr" 100
train "fine-tuned, 200 steps" minilm@1 200 4e-4 25
train "fine-tuned, 750 steps" minilm@1 750 2e-4 50
"$loopwright" data export banking@1 --to rows.jsonl --format jsonl > /dev/null
"$python" "$here/transfer_peer.py" linear "$room/rows.jsonl"
