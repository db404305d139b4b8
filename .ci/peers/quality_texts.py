"""Texts for the quality filters: cases on both sides of every bound, random ones, and the documents of real datasets.

    python quality_texts.py cases VERDICTS.jsonl      writes the fixture of loopwright-corpus with the library's verdicts
    python quality_texts.py random N SEED TEXTS.jsonl
    python quality_texts.py NAME DATASETS TEXTS.jsonl  NAME: wikitext-lines, wikitext-pages, gsm8k, tinyshakespeare,
                                                       pypa-advisories, banking77
"""

import csv
import json
import pathlib
import random
import sys
import tarfile

from datatrove_filters import filters, judge, text_of, use_words, write_verdicts

# Ours, written for this purpose: five sentences without a repeated pair of words.
PROSE = (
    "The harbour was quiet when we came down to look for the boat that carried our letters. "
    "Nobody had seen it since Tuesday, and some of the older men began to speak in lower voices. "
    "My sister wanted to ask at every door, but I knew where she would find them with their pipes. "
    "Behind a blue shed sat three fishermen who have been friends all their lives. "
    "They told us calmly about fog, about tides, and how patience brings most things home again. "
)


def words(n, start=0):
    """n different words of eight letters."""
    letters = "bcdfghklmnprst"
    def word(i):
        return "".join(letters[i // 14**k % 14] + "aeiou"[(i // 7 + k) % 5] for k in range(4))
    return " ".join(word(i * 5 + 3) for i in range(start, start + n))


def pairs(n, separator):
    """n different parts of four words, each twice, with other parts between."""
    parts = [[words(4, 200 + 4 * i), f"a{i}", words(4, 200 + 4 * i), f"b{i}"] for i in range(n)]
    return "".join(separator + part for group in parts for part in group)


def blocks(n, mark):
    """Three stretches of n words with other words between."""
    return f" {mark}1 ".join([words(n), words(n, 20) + f" {mark}2", words(n, 40)])


def lines(n, start=0, n_words=6, end="."):
    return "\n".join(words(n_words, start + i * n_words) + end for i in range(n))


# filter, the library's reason, and a text that grows with k: the first k for which the reason is given, and the one before.
FLIPS = [
    ("gopher_quality", "gopher_short_doc", lambda k: [["— ", 5], ["the harbour of ", 1], ["house ", 60 - k]]),
    ("gopher_quality", "gopher_long_doc", lambda k: [["the harbour of ", 1], ["house ", 99995 + k]]),
    ("gopher_quality", "gopher_below_avg_threshold", lambda k: [["the and ", 30], ["ab ", k]]),
    ("gopher_quality", "gopher_above_avg_threshold", lambda k: [["the harbour of ", 20], ["harbourmaster's ", k]]),
    ("gopher_quality", "gopher_too_many_hashes", lambda k: [["the harbour of ", 20], ["house# ", k]]),
    ("gopher_quality", "gopher_too_many_ellipsis", lambda k: [["the harbour of ", 20], ["hm.... ", k // 2], ["hm… ", k - k // 2], ["end", 1]]),
    ("gopher_quality", "gopher_too_many_bullets", lambda k: [["the harbour of " * 10 + "\n", 2], [" - of the fog\n", k], ["•and\r\n", k]]),
    ("gopher_quality", "gopher_too_many_end_ellipsis", lambda k: [["the harbour of old harbours today\n", 20], ["it goes on... \n", k], ["and on…\n", k]]),
    ("gopher_quality", "gopher_below_alpha_threshold", lambda k: [["the harbour of ", 20], ["1234 ", k], ["Ⅳ ", 1], ["½% ", 1]]),
    ("gopher_quality", "gopher_enough_stop_words", lambda k: [["The Harbour Of ", 20], ["the ", 1], ["and ", 2 - k]]),
    ("gopher_repetition", "dup_para_frac", lambda k: [[lines(7), 1], ["\n\nab", k + 1], ["\n\n\n" + words(3, 90) + "\n\n" + words(3, 95), 1]]),
    ("gopher_repetition", "dup_para_char_frac", lambda k: [[words(60), 1], [pairs(k, "\n\n"), 1]]),
    ("gopher_repetition", "dup_line_frac", lambda k: [[lines(7) + "\n", 1], ["ab\n", k + 1]]),
    ("gopher_repetition", "dup_line_char_frac", lambda k: [[words(60), 1], [pairs(k, "\n"), 1]]),
    ("gopher_repetition", "top_2_gram", lambda k: [[words(60), 1], *[[f" harbour fog {words(1, 200 + i)}", 1] for i in range(k)]]),
    ("gopher_repetition", "top_3_gram", lambda k: [[words(80), 1], *[[f" old harbour fog {words(1, 200 + i)}", 1] for i in range(k)]]),
    ("gopher_repetition", "top_4_gram", lambda k: [[words(120), 1], *[[f" the old harbour fog {words(1, 200 + i)}", 1] for i in range(k)]]),
    *[
        ("gopher_repetition", f"duplicated_{n}_n_grams", lambda k, n=n: [[blocks(n, "a"), 1], [" " + words(300 - 2 * k, 100) + " ", 1], [blocks(n, "b"), 1]])
        for n in range(5, 11)
    ],
    ("c4", "too_few_sentences", lambda k: [["One more is here. ", 6 - k]]),
    ("c4", "curly_bracket", lambda k: [[PROSE + "\n", 1], ["It is {here}.\n", k]]),
    ("c4", "lorem_ipsum", lambda k: [[PROSE + "\n", 1], ["A Lorem Ipsum here.\n", k]]),
    ("fineweb", "line_punct_ratio", lambda k: [[lines(12, 0, 6, "?") + "\n", 1], [lines(80 + k, 400, 6, ". "), 1]]),
    ("fineweb", "short_line_ratio", lambda k: [[lines(33, 0, 12) + "\n", 1], *[[f"exactly {i} thirty-one letters.\n", 1] for i in range(3)], *[[f"exactly {i:06} thirty letters.\n", 1] for i in range(100, 160)], *[[f"exactly {i:06} thirty letters.\n", 1] for i in range(k)]]),
    ("fineweb", "char_dup_ratio", lambda k: [[lines(60), 1], ["\n" + words(1 + k // 2, 500) + ".", 1], ["\n" + words(1 + k // 2, 500) + ".", 1]]),
    ("fineweb", "list_ratio", lambda k: [[lines(10), 1], ["\n", k]]),
]

# Whole documents that turn on one thing each.
PLAIN = [
    "",
    " ",
    "\n",
    "\n\n",
    " \n\t\u3000\n",
    "word",
    "two words",
    PROSE,
    "\n" + PROSE + "\n",
    PROSE + "\n\n" + PROSE,
    PROSE.replace(" ", "\u00a0"),
    PROSE.replace(" ", "\u001f"),
    PROSE.replace(". ", ".\r\n"),
    PROSE.replace(". ", ".\u0085"),
    PROSE.replace(". ", ".\u2028"),
    PROSE.replace(". ", ".\u001c"),
    PROSE.replace(". ", ".\v\f"),
    PROSE.replace(". ", "。\n"),
    PROSE.replace(". ", "...\n"),
    PROSE.replace(". ", '."\n'),
    PROSE.replace(". ", ".[1][23]\n"),
    PROSE.replace(". ", "[edit][citation needed][].\n"),
    PROSE.replace(". ", "[[4]] [x] [٣].\n"),
    PROSE.replace(". ", ". [5]\n"),
    PROSE + "\nPlease enable JavaScript to go on.",
    PROSE + "\nPlease enable JavaScript { to go on.",
    PROSE + "\nPlease enable java[1]script { to go on.",
    PROSE + "\nThis site uses cookies, as said.",
    PROSE + "\nThis site USES COO\u212aIES, as said.",
    PROSE + "\nRead our Terms of Use first.",
    PROSE + "\nRead our Privacy Policy first.",
    PROSE + "\nRead our Cookie Policy first.",
    PROSE + "\nOn our use of cookies here.",
    PROSE + "\nWe use cookies right here.",
    PROSE + "\nMenu {\nContact",
    PROSE + "\nTwo words.\nNow three words.",
    "Mr. J. Smith came home. Dr. Who left the U.S. today... or so. He paid 3.5 coins. " * 2,
    "It is 3. He has (e.g. here) a cat.) \"Go!\" Really?! Yes.",
    "हिन्दी में लिखा हुआ एक वाक्य यहाँ है। " * 12,
    "这是一个很长的句子，没有空格。\n" * 3,
    "ा ि ी ु " * 20 + "the and of",
    "#  … ... — " * 30 + PROSE,
    "🙂 🙃 " * 40 + "the and",
    "ab c d e f g h " + "a bc d e f g h " * 3 + PROSE,
]


def long_words(n):
    return [[PROSE + "\nHere is ", 1], ["x", n], [" inside this line.", 1]]


def cases():
    """The cases as rows: with the real library, each bound's flip is looked for."""
    use_words("plain")
    library = filters()
    problems = []
    rows = [{"text": text} for text in PLAIN] + [{"parts": long_words(n)} for n in (1000, 1001)]
    for name, reason, grow in FLIPS:
        first = next((k for k in range(1, 130) if judge(text_of({"parts": grow(k)}), library)[name] == reason), None)
        if first is None:
            problems.append(f"no k up to 129 makes {name} say {reason}")
            continue
        before = judge(text_of({"parts": grow(first - 1)}), library)[name]
        if before is not None:
            problems.append(f"{name} says {before}, not nothing, before it says {reason} at {first}")
        rows += [{"parts": grow(k)} for k in (first - 1, first)]
    if problems:
        sys.exit("\n".join(problems))
    return rows


def random_texts(n, seed):
    """Documents of few words and odd separators, so that every rule is near its bound."""
    rng = random.Random(seed)
    vocabulary = "the and of with that a be to house harbour fog It. Here? go! on... … # ## - • 12 3.5 ½ Ⅳ é über 中文 。 ि [1] [edit] [] javascript { } lorem ipsum cookies use policy privacy Mr. U.S. \"so\" 'x' \u212a İ ab c bc abc".split(" ")
    separators = [" "] * 30 + ["\n"] * 4 + ["\n\n", "\n\n\n", "\r\n", "\t", "\u00a0", "\u2028", "\u0085", "\u001c", "\u001f", "\v", "  ", ". ", ".\n", "?\n", ". \n"]
    for _ in range(n):
        few = rng.sample(vocabulary, rng.randint(1, len(vocabulary)))
        few += [rng.choice(["the", "harbour", "and", "quietly", "went", "along", "it.", "shore"]) for _ in range(rng.randint(0, 60))]
        length = rng.choice([rng.randint(0, 20), rng.randint(40, 120), rng.randint(100, 400)])
        marks = rng.sample(separators, rng.randint(1, len(separators)))
        parts = [rng.choice(few) + rng.choice(marks) for _ in range(length)]
        if length and rng.random() < 0.5:  # repeat a stretch
            at = rng.randrange(length)
            parts[rng.randrange(length):0] = parts[at : at + rng.randint(1, 40)] * rng.randint(1, 3)
        yield "".join(parts)


def pages(texts, n_chars):
    """Paragraphs put together to pages of at least so many characters."""
    page = []
    for text in texts:
        page.append(text)
        if sum(map(len, page)) >= n_chars:
            yield "\n\n".join(page)
            page = []
    if page:
        yield "\n\n".join(page)


def dataset(name, folder):
    folder = pathlib.Path(folder)
    if name.startswith("wikitext"):
        files = [folder / "wikitext2-valid-test" / f"{part}.txt" for part in ("valid", "test")]
        paragraphs = [line.strip() for file in files for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]
        return paragraphs if name == "wikitext-lines" else pages(paragraphs, 2000)
    if name == "gsm8k":
        rows = [json.loads(line) for part in ("train", "test") for line in open(folder / "gsm8k" / f"{part}.jsonl", encoding="utf-8")]
        return (f"{row['question']}\n{row['answer']}" for row in rows)
    if name == "tinyshakespeare":
        return (folder / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8").split("\n\n")
    if name == "banking77":
        return (row["text"] for row in csv.DictReader(open(folder / "banking77" / "train.csv", encoding="utf-8")))
    if name == "pypa-advisories":
        tar = tarfile.open(folder / "pypa-advisories" / "pypa-advisories.tar")
        return (tar.extractfile(member).read().decode("utf-8", "replace") for member in tar if member.isfile())
    sys.exit(__doc__)


def main():
    if sys.argv[1] == "cases":
        write_verdicts(cases(), sys.argv[2], "plain")
        return
    if sys.argv[1] == "random":
        texts, path = random_texts(int(sys.argv[2]), int(sys.argv[3])), sys.argv[4]
    else:
        texts, path = dataset(sys.argv[1], sys.argv[2]), sys.argv[3]
    with open(path, "w", encoding="utf-8") as out:
        for text in texts:
            print(json.dumps({"text": text}, ensure_ascii=False), file=out)


if __name__ == "__main__":
    main()
