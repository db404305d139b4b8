"""A whole recipe by datatrove: FineWeb's filters, then near-duplicate removal, from a file to a file.

Usage: datatrove_recipe.py CORPUS.jsonl SURVIVORS.txt

Reads `{"text": …}` lines and writes the number (from 0) of each document that survives. Words are what stands between
white space and sentences follow our rule, given to the library in place of its tokenizer. The stages run one after
another in this process, without datatrove's executor. Prints one line of JSON: versions, seconds per stage, peak memory.
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
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.logging import logger

from datatrove_filters import PlainTokenizer, use_words


def main(corpus, out):
    logger.remove()
    use_words("plain")
    minhash.load_word_tokenizer = lambda language: PlainTokenizer()
    corpus = os.path.abspath(corpus)
    seconds = {}

    def timed(name, stage):
        began = time.perf_counter()
        result = stage()
        seconds[name] = time.perf_counter() - began
        return result

    with tempfile.TemporaryDirectory() as folder:
        place = lambda name: os.path.join(folder, name)

        def filtered():
            documents = JsonlReader(os.path.dirname(corpus), glob_pattern=os.path.basename(corpus)).run()
            steps = [
                GopherRepetitionFilter(),
                GopherQualityFilter(),
                C4QualityFilter(filter_no_terminal_punct=False),
                FineWebQualityFilter(),
            ]
            for step in steps:
                documents = step.run(documents)
            # Written as the next stage reads it; the document's number goes with it.
            writer = JsonlWriter(place("kept"), output_filename="kept.jsonl", compression=None)
            return sum(1 for _ in writer.run(documents))

        n_filtered = timed("filters", filtered)
        read = lambda: JsonlReader(place("kept"), glob_pattern="kept.jsonl").run()
        config = minhash.MinhashConfig()
        timed("signatures", lambda: minhash.MinhashDedupSignature(place("signatures"), config).run(read()))
        buckets = minhash.MinhashDedupBuckets(place("signatures"), place("pairs"), config=config)
        timed("buckets", lambda: [buckets.run(None, rank, config.num_buckets) for rank in range(config.num_buckets)])
        timed("clusters", lambda: minhash.MinhashDedupCluster(place("pairs"), place("removals"), config).run())
        survivors = timed(
            "filter",
            lambda: [int(document.id.rsplit("/", 1)[1]) for document in minhash.MinhashDedupFilter(place("removals")).run(read())],
        )
    with open(out, "w", encoding="utf-8") as file:
        file.writelines(f"{index}\n" for index in survivors)
    print(json.dumps({
        "versions": {"datatrove": importlib.metadata.version("datatrove"), "python": platform.python_version()},
        "filtered": n_filtered,
        "kept": len(survivors),
        "seconds": seconds,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }))


if __name__ == "__main__":
    main(*sys.argv[1:])
