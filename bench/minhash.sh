#!/usr/bin/env bash
# Near-duplicate removal beside datatrove's, on the same corpus in the same run: survivors and clusters must be equal, to
# the document, or the script fails. Prints seconds, documents per second and core, and peak memory as Markdown.
# Usage: LOOPWRIGHT_DATASETS=DIR bench/minhash.sh [DOCUMENTS] [MEMORY_MIB]
# Builds nothing: run `cargo build --release -p loopwright-corpus --example minhash_speed` first, and give in PEER_PYTHON
# a Python that has `.ci/peers/requirements-datatrove.txt` installed.
set -euo pipefail
cd "$(dirname "$0")/.."
documents=${1:-20000}
memory_mib=${2:-16}
python=${PEER_PYTHON:-python3}
binary=${CARGO_TARGET_DIR:-target}/release/examples/minhash_speed
: "${LOOPWRIGHT_DATASETS:?names the folder of public texts}"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# measured NAME COMMAND…: its output goes to NAME.json, the processor seconds and peak memory of the whole process to NAME.used.
measured() {
  python3 - "$scratch/$1" "${@:2}" <<'PY'
import json, resource, subprocess, sys
place, *command = sys.argv[1:]
with open(f"{place}.json", "wb") as out:
    subprocess.run(command, stdout=out, stderr=subprocess.DEVNULL, check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
json.dump({"cpu": used.ru_utime + used.ru_stime, "peak_mib": used.ru_maxrss / 1024}, open(f"{place}.used", "w"))
PY
}
"$python" .ci/peers/near_duplicates_corpus.py "$scratch/corpus.jsonl" "$documents" 11 "$LOOPWRIGHT_DATASETS"
measured peer "$python" .ci/peers/datatrove_minhash.py "$scratch/corpus.jsonl" "$scratch/peer.tsv"
export RAYON_NUM_THREADS=1
measured sign "$binary" sign "$scratch/corpus.jsonl"
measured one "$binary" clusters "$scratch/corpus.jsonl" "$scratch/one.tsv" "$memory_mib"
unset RAYON_NUM_THREADS
measured all "$binary" clusters "$scratch/corpus.jsonl" "$scratch/all.tsv" "$memory_mib"
cmp "$scratch/one.tsv" "$scratch/all.tsv"
python3 - "$scratch" <<'PY'
import json, os, sys
folder = sys.argv[1]
read = lambda name: json.load(open(f"{folder}/{name}.json"))
rows = lambda name: [tuple(map(int, line.split("\t"))) for line in open(f"{folder}/{name}.tsv")]

def canonical(rows):
    """Survives, first document of the cluster, size: whatever the clusters are called."""
    first = {}
    named = [(keeps, cluster if size > 1 else ("alone", index), size) for index, (keeps, cluster, size) in enumerate(rows)]
    for index, (_, cluster, _) in enumerate(named):
        first.setdefault(cluster, index)
    return [(keeps, first[cluster], size) for keeps, cluster, size in named]

ours, theirs = canonical(rows("one")), canonical(rows("peer"))
differing = [index for index, (a, b) in enumerate(zip(ours, theirs)) if a != b]
if len(ours) != len(theirs) or differing:
    sys.exit(f"{len(differing)} of {len(theirs)} documents differ from the peer's, first: {differing[:5]}")
peer, one, all_threads, sign = read("peer"), read("one"), read("all"), read("sign")
versions = ", ".join(f"{name} {version}" for name, version in peer["versions"].items())
print(f"{peer['documents']} documents, {os.path.getsize(folder + '/corpus.jsonl') / 2**20:.1f} MiB of JSON lines; {peer['kept']} kept, "
      f"survivors, clusters and sizes equal. Peer: {versions}\n")
print("| | datatrove | one thread | ratio | threads: " + str(all_threads["threads"]) + " |\n|---|---|---|---|---|")
for stage in ("signatures", "buckets", "clusters", "filter"):
    ours_s = one["seconds"].get(stage)
    shown = f"{ours_s:.3f} | | {all_threads['seconds'][stage]:.3f}" if ours_s is not None else "(in clusters) | |"
    print(f"| {stage}, s | {peer['seconds'][stage]:.2f} | {shown} |")
total = lambda run: sum(run["seconds"].values())
print(f"| **all, s** | **{total(peer):.2f}** | **{total(one):.3f}** | **{total(peer) / total(one):.0f}x** | {total(all_threads):.3f} |")
rate = lambda run: run["documents"] / run["seconds"]["signatures"]
print(f"| documents/s, read and signed | {rate(peer):.0f} | {rate(one):.0f} | {rate(one) / rate(peer):.0f}x | {rate(all_threads):.0f} |")
print(f"| documents per second of processor time, signed only | | {sign['documents_per_cpu_s']:.0f} | | |")
used = {name: json.load(open(f"{folder}/{name}.used")) for name in ("peer", "one", "all")}
cpu = {name: numbers["cpu"] for name, numbers in used.items()}
print(f"| processor seconds, whole process | {cpu['peer']:.2f} | {cpu['one']:.2f} | {cpu['peer'] / cpu['one']:.0f}x | {cpu['all']:.2f} |")
print(f"| peak memory, MiB | {used['peer']['peak_mib']:.0f} | {used['one']['peak_mib']:.0f} | | {used['all']['peak_mib']:.0f} |")
PY
