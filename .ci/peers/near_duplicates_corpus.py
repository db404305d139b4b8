"""Makes a corpus with planted near-duplicates, the same for the same arguments.

Usage: near_duplicates_corpus.py OUT.jsonl DOCUMENTS SEED [DATASETS]

Without DATASETS the texts are of made-up words in several scripts; with it, they are pieces of 100 to 200 words of the
public texts in that folder. Four of ten documents are perturbed copies of earlier ones, some of them copies of copies,
so that clusters are chains of different lengths that meet; some documents are short, and some differ only in what
simplification takes away.
"""

import csv
import json
import os
import random
import sys
import tarfile
import unicodedata

SCRIPTS = ["abcdefghijklmnopqrstuvwxyz", "abcdeéèüñçøåßœ", "αβγδεζηθικλμνξοπρστυφχψως", "абвгдежзиклмнопрстуя", "あいうえお漢字", "कखगघचछजझकिकी"]
PUNCTUATION = [",", ".", "!", " –", "…", "?", ":", " “", "”", " (", ")", "、"]


def made_up_words(rng, count=3000):
    """A vocabulary, most of it Latin."""
    script = lambda: SCRIPTS[0] if rng.random() < 0.7 else rng.choice(SCRIPTS)
    return ["".join(rng.choice(letters) for _ in range(rng.randint(1, 9))) for letters in (script() for _ in range(count))]


def made_up_text(rng, vocabulary):
    length = rng.randint(1, 8) if rng.random() < 0.15 else rng.randint(20, 80)
    # Squared, so that some words are common.
    words = [vocabulary[int(len(vocabulary) * rng.random() ** 2)] for _ in range(length)]
    return " ".join(str(rng.randint(0, 9999) / 10) if rng.random() < 0.03 else word for word in words)


def public_words(folder):
    """All words of the public texts, one text after another."""
    path = lambda *parts: os.path.join(folder, *parts)
    texts = []
    for name in ("valid.txt", "test.txt"):
        texts.append(open(path("wikitext2-valid-test", name), encoding="utf-8").read())
    for name in ("train.jsonl", "test.jsonl"):
        rows = map(json.loads, open(path("gsm8k", name), encoding="utf-8"))
        texts.extend(row["question"] + " " + row["answer"] for row in rows)
    with tarfile.open(path("pypa-advisories", "pypa-advisories.tar")) as tar:
        for member in sorted((member for member in tar if member.isfile()), key=lambda member: member.name):
            texts.append(tar.extractfile(member).read().decode("utf-8", "replace"))
    texts.append(open(path("tinyshakespeare", "input.txt"), encoding="utf-8").read())
    for name in ("train.csv", "test.csv"):
        texts.extend(row["text"] for row in csv.DictReader(open(path("banking77", name), encoding="utf-8")))
    texts.extend(row["test_case"] for row in csv.DictReader(open(path("hatecheck", "all_cases.csv"), encoding="utf-8")))
    return [word for text in texts for word in text.split()]


def perturbed(rng, text):
    """A copy with few, many or only invisible changes."""
    words = text.split(" ")
    kind = rng.random()
    if kind < 0.15:
        return text
    if kind < 0.35:
        return invisible_changes(rng, words)
    changes = max(1, int(len(words) * rng.choice([0.01, 0.02, 0.04, 0.08, 0.15])))
    for _ in range(changes):
        at = rng.randrange(len(words)) if words else 0
        change = rng.random()
        if change < 0.5 and words:
            words[at] = rng.choice(words)
        elif change < 0.75:
            words.insert(at, rng.choice(words) if words else "a")
        elif len(words) > 1:
            del words[at]
    return " ".join(words)


def invisible_changes(rng, words):
    changed = []
    for word in words:
        draw = rng.random()
        if draw < 0.1:
            word = word.upper() if len(word.upper().lower()) == len(word) else word
        elif draw < 0.2:
            word += rng.choice(PUNCTUATION)
        elif draw < 0.25:
            word = unicodedata.normalize("NFD", word)
        elif draw < 0.3:
            word += rng.choice(["  ", "\n", "\t", "\u00a0", "\u2003"])
        changed.append(word)
    return " ".join(changed)


def corpus(count, seed, datasets=None):
    rng = random.Random(seed)
    words = public_words(datasets) if datasets else made_up_words(rng)
    texts, at = [], 0
    while len(texts) < count:
        if texts and rng.random() < 0.4:
            # Recent ones more often: copies of copies.
            back = int(len(texts) * rng.random() ** 3)
            text = perturbed(rng, texts[len(texts) - 1 - back])
        elif datasets:
            length = rng.randint(100, 200)
            # A second pass over the words starts at another place, so its pieces are no copies of the first one's.
            text = " ".join(words[at : at + length])
            at = at + length if at + 200 < len(words) else rng.randint(0, 100)
        else:
            text = made_up_text(rng, words)
        if text.strip():
            texts.append(text)
    return texts


def main(out, count, seed, datasets=None):
    with open(out, "w", encoding="utf-8") as file:
        for text in corpus(int(count), int(seed), datasets):
            file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
