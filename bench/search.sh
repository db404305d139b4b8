#!/usr/bin/env bash
# Hyperparameter search beside Optuna's default sampler, on COCO's functions: median regret after 50, 100 and 200 trials.
# Usage: bench/search.sh [DIMENSION] [SAMPLER] [SET]
# Builds nothing: run `cargo build --release -p loopwright-search --example ask_tell` first, and give in PEER_PYTHON a
# Python that has the packages optuna, coco-experiment and scipy. Each side is one process on one core. Optuna's results
# are kept under ~/.cache/loopwright/search-bench and not measured again. SET `dev` has the instances that the sampler was
# developed on, `report` (the default) those that we report.
set -euo pipefail
cd "$(dirname "$0")/.."
dimension=${1:-5}
sampler=${2:-gp}
set_name=${3:-report}
python=${PEER_PYTHON:-python3}
"$python" bench/search.py peer "$set_name" "$dimension"
"$python" bench/search.py ours "$set_name" "$dimension" "$sampler"
"$python" bench/search.py table "$set_name" "$dimension" "$sampler"
