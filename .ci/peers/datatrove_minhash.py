"""Near-duplicate removal by datatrove itself: its four MinHash stages at their default settings, with whitespace words.

Usage: datatrove_minhash.py CORPUS.jsonl CLUSTERS.tsv

Reads `{"text": …}` lines, none of them empty, and writes one line per document: 1 if it survives or 0, the number of its
cluster (-1 if it is alone), the size of its cluster. Prints one line of JSON: versions, seconds per stage, peak memory.

The stages run one after another in this process, without datatrove's executor, so that nothing but their own work is
timed. The word tokenizer is the only thing put in; xxhash must be older than 4, which no longer hashes `str`.
"""

import importlib.metadata
import json
import os
import platform
import resource
import sys
import tempfile
import time

import datatrove.pipeline.dedup.minhash as minhash
import numpy
from datatrove.pipeline.readers import JsonlReader
from datatrove.utils.logging import logger


class WhitespaceWords:
    """What stands in for the tokenizer of the text's language."""

    def word_tokenize(self, text):
        return text.split()


def run_stages(corpus, folder):
    """The clusters as `(survives, cluster, size)` by document, and the seconds of each stage."""
    config = minhash.MinhashConfig()
    signatures, pairs, removals = (os.path.join(folder, name) for name in ("signatures", "pairs", "removals"))
    read = lambda: JsonlReader(os.path.dirname(corpus), glob_pattern=os.path.basename(corpus)).run()
    seconds = {}

    def timed(name, stage):
        began = time.perf_counter()
        result = stage()
        seconds[name] = time.perf_counter() - began
        return result

    timed("signatures", lambda: minhash.MinhashDedupSignature(signatures, config).run(read()))
    buckets = minhash.MinhashDedupBuckets(signatures, pairs, config=config)
    timed("buckets", lambda: [buckets.run(None, rank, config.num_buckets) for rank in range(config.num_buckets)])
    cluster = minhash.MinhashDedupCluster(pairs, removals, config, save_cluster_id=True, save_cluster_size=True)
    timed("clusters", lambda: cluster.run())
    keep = minhash.MinhashDedupFilter(removals)
    survivors = timed("filter", lambda: {int(document.id.rsplit("/", 1)[1]) for document in keep.run(read())})
    # The removed documents' clusters are in the stage's files only.
    numbers = lambda name: numpy.fromfile(os.path.join(removals, f"000000.{name}"), "<u4").reshape(-1, 2).tolist()
    has_clusters = os.path.exists(os.path.join(removals, "000000.clusters"))
    ids, sizes = (dict(numbers(name)) if has_clusters else {} for name in ("clusters", "sizes"))
    with open(corpus, encoding="utf-8") as lines:
        count = sum(1 for _ in lines)
    return [(index in survivors, ids.get(index, -1), sizes.get(index, 1)) for index in range(count)], seconds


def main(corpus, out):
    logger.remove()
    minhash.load_word_tokenizer = lambda language: WhitespaceWords()
    with tempfile.TemporaryDirectory() as folder:
        clusters, seconds = run_stages(os.path.abspath(corpus), folder)
    with open(out, "w", encoding="utf-8") as file:
        file.writelines(f"{int(survives)}\t{cluster}\t{size}\n" for survives, cluster, size in clusters)
    versions = {name: importlib.metadata.version(name) for name in ("datatrove", "numpy", "regex", "xxhash")}
    print(json.dumps({
        "versions": {**versions, "python": platform.python_version()},
        "documents": len(clusters),
        "kept": sum(survives for survives, _, _ in clusters),
        "seconds": seconds,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }))


if __name__ == "__main__":
    main(*sys.argv[1:])
