#!/usr/bin/env bash
# A whole recipe beside datatrove's, on the same corpus, one core each: repaired text, FineWeb's filters (Gopher, C4,
# FineWeb), MinHash. Ours is `data import` and `data curate` in a project, from a file to tables; the peer goes from a
# file to a file and does not repair. Prints seconds, ratio, peak memory and how many survivors differ, as Markdown.
# Usage: LOOPWRIGHT_DATASETS=DIR bench/recipe.sh [DOCUMENTS]
# Builds nothing: run `cargo build --release` first, and give in PEER_PYTHON a Python that has
# `.ci/peers/requirements-datatrove.txt` and `.ci/peers/quality_requirements.txt` installed.
set -euo pipefail
cd "$(dirname "$0")/.."
documents=${1:-20000}
python=${PEER_PYTHON:-python3}
binary=${LOOPWRIGHT_BIN:-${CARGO_TARGET_DIR:-target}/release/loopwright}
: "${LOOPWRIGHT_DATASETS:?names the folder of public texts}"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
core=$(taskset -cp $$ | sed 's/.*: //; s/[,-].*//')
mkdir -p "$scratch/corpus" "$scratch/project/sources"
"$python" .ci/peers/near_duplicates_corpus.py "$scratch/corpus/corpus.jsonl" "$documents" 11 "$LOOPWRIGHT_DATASETS"
# A line for each sentence, as on a page: text without line ends is dropped by the filters before near-duplicates matter.
python3 - "$scratch/corpus/corpus.jsonl" <<'PY'
import json, re, sys
lines = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
with open(sys.argv[1], "w", encoding="utf-8") as out:
    for line in lines:
        line["text"] = re.sub(r"([.!?]) ", r"\1\n", line["text"])
        out.write(json.dumps(line) + "\n")
PY
ln -s "$scratch/corpus/corpus.jsonl" "$scratch/project/sources/corpus.jsonl"
cat >"$scratch/project/loopwright.toml" <<'TOML'
[project]
name = "recipe"
[data.corpus]
sources = ["sources/corpus.jsonl"]
customers = ""
steps = [
  {step = "repair_text"}, {step = "gopher_repetition"}, {step = "gopher_quality"},
  {step = "c4", lines_end_sentences = false}, {step = "fineweb"}, {step = "minhash"},
  {step = "split", train = 1.0, validation = 0.0, test = 0.0},
]
TOML
# measured NAME COMMAND…: seconds, processor seconds and peak memory of a command and its children.
measured() {
  taskset -c "$core" python3 - "$scratch/$1" "${@:2}" <<'PY'
import json, resource, subprocess, sys, time
place, *command = sys.argv[1:]
began = time.perf_counter()
with open(f"{place}.out", "wb") as out:
    subprocess.run(command, stdout=out, check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
json.dump({"wall": time.perf_counter() - began, "cpu": used.ru_utime + used.ru_stime, "peak_mib": used.ru_maxrss / 1024}, open(f"{place}.used", "w"))
PY
}
measured peer "$python" .ci/peers/datatrove_recipe.py "$scratch/corpus/corpus.jsonl" "$scratch/peer.txt"
export RAYON_NUM_THREADS=1
measured import "$binary" data import --project "$scratch/project" --json
measured curate "$binary" data curate --project "$scratch/project" --json
"$binary" data export --project "$scratch/project" --to "$scratch/ours.jsonl" --json >/dev/null
python3 - "$scratch" "$documents" <<'PY'
import json, os, sys
folder, documents = sys.argv[1], int(sys.argv[2])
used = {name: json.load(open(f"{folder}/{name}.used")) for name in ("peer", "import", "curate")}
peer = json.load(open(f"{folder}/peer.out"))
theirs = {int(line) for line in open(f"{folder}/peer.txt")}
ours = {int(json.loads(line)["id"].rsplit("-", 1)[1]) - 1 for line in open(f"{folder}/ours.jsonl")}
wall = used["import"]["wall"] + used["curate"]["wall"]
cpu = used["import"]["cpu"] + used["curate"]["cpu"]
size = os.path.getsize(f"{folder}/corpus/corpus.jsonl") / 2**20
print(f"{documents} documents, {size:.1f} MiB of JSON lines; kept {len(ours)} and {len(theirs)}, {len(ours ^ theirs)} differ\n")
print("| | loopwright | datatrove | ratio |\n|---|---:|---:|---:|")
print(f"| seconds on one core | {wall:.2f} (import {used['import']['wall']:.2f}, curate {used['curate']['wall']:.2f}) | {used['peer']['wall']:.2f} | {used['peer']['wall'] / wall:.1f} |")
print(f"| processor seconds | {cpu:.2f} | {used['peer']['cpu']:.2f} | {used['peer']['cpu'] / cpu:.1f} |")
print(f"| documents per second | {documents / wall:.0f} | {documents / used['peer']['wall']:.0f} | |")
print(f"| peak memory, MiB | {max(used['import']['peak_mib'], used['curate']['peak_mib']):.0f} | {used['peer']['peak_mib']:.0f} | |")
print("\nThe peer's stages, s: " + ", ".join(f"{name} {seconds:.2f}" for name, seconds in peer["seconds"].items()))
PY
