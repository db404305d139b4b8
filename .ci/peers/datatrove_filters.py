"""datatrove's quality filters over a file: the verdicts that ours are compared with, and the time they take.

    python datatrove_filters.py verdicts TEXTS.jsonl VERDICTS.jsonl [--words spacy]
    python datatrove_filters.py compare VERDICTS.jsonl OTHER_VERDICTS.jsonl
    python datatrove_filters.py speed TEXTS.jsonl [--words spacy]

TEXTS.jsonl has a document per line: {"text": "..."}, or {"parts": [["the ", 3], ["end", 1]]}, each part so many times.
VERDICTS.jsonl begins with a line that says who judged; then each line is the document with, per filter, null (it stays) or
the library's reason, and `c4_text`, what the C4 filter leaves of it. The test `quality_parity` of loopwright-corpus reads it.

By default words are what stands between white space (str.split) and sentences follow our rule, given to the library in
place of its tokenizer; nothing else of it is touched. `--words spacy` leaves its own tokenizer in.
"""

import importlib.metadata
import json
import platform
import sys
import time
import unicodedata

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.utils import word_tokenizers
from datatrove.utils.text import TERMINAL_PUNCTUATION, split_into_parts

ABBREVIATIONS = set(
    "Mr Mrs Ms Dr Prof St Jr Sr Gen Rev Gov Sen Rep Capt Lt Col Mt vs Inc Ltd".split()
)


def ends_sentence(word):
    """Our rule for the end of a sentence, as `quality/sentences.rs` states it."""
    word = word.rstrip("\"')]”’»")
    if not word or word[-1] not in TERMINAL_PUNCTUATION:
        return False
    if word[-1] != ".":
        return True
    stem = word[:-1].lstrip("\"'([“‘«")
    initial = len(stem) == 1 and stem.isalpha()
    dotted = "." in stem and any(c.isalpha() for c in stem)
    return not (initial or dotted or stem.endswith(".") or stem in ABBREVIATIONS)


class PlainTokenizer(word_tokenizers.WordTokenizer):
    """Words between white space; sentences by our rule."""

    def word_tokenize(self, text):
        return text.split()

    def sent_tokenize(self, text):
        return [text[start:end] for start, end in self.span_tokenize(text)]

    def span_tokenize(self, text):
        spans, start, at = [], None, 0
        for word in text.split():
            at = text.index(word, at)
            start = at if start is None else start
            at += len(word)
            if ends_sentence(word):
                spans.append((start, at))
                start = None
        if start is not None:
            spans.append((start, at))
        return spans


def use_words(words):
    if words == "plain":
        plain = PlainTokenizer()
        word_tokenizers.load_word_tokenizer = lambda language: plain
    split_into_parts.cache_clear()


def filters():
    return {
        "gopher_quality": GopherQualityFilter(),
        "gopher_repetition": GopherRepetitionFilter(),
        "c4": C4QualityFilter(),
        "fineweb": FineWebQualityFilter(),
    }


def text_of(row):
    return row["text"] if "text" in row else "".join(part * times for part, times in row["parts"])


def judge(text, library):
    """Each filter's verdict on the same text."""
    verdicts = {}
    for name, one in library.items():
        document = Document(text=text, id="")
        try:
            result = one.filter(document)
        except ZeroDivisionError:
            verdicts[name] = "error: division by zero"
            continue
        verdicts[name] = None if result is True else result[1]
        if name == "c4":
            verdicts["c4_text"] = document.text if result is True and document.text != text else None
    return verdicts


def header(words):
    return {
        "library": "datatrove",
        "version": importlib.metadata.version("datatrove"),
        "python": platform.python_version(),
        "unicode": unicodedata.unidata_version,
        "words": words,
    }


def write_verdicts(rows, path, words):
    use_words(words)
    library = filters()
    with open(path, "w", encoding="utf-8") as out:
        print(json.dumps(header(words)), file=out)
        for row in rows:
            print(json.dumps({**row, **judge(text_of(row), library)}, ensure_ascii=False), file=out)


def read(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def compare(left, right):
    """How often two files of verdicts agree, filter by filter: whether a document stays, and for the same reason."""
    left, right = read(left)[1:], read(right)[1:]
    assert len(left) == len(right), "not the same documents"
    for name in filters():
        same = sum((a[name] is None) == (b[name] is None) for a, b in zip(left, right))
        equal = sum(a[name] == b[name] for a, b in zip(left, right))
        print(f"{name:18} {same} of {len(left)} verdicts, {equal} reasons the same")


def speed(path, words):
    """CPU seconds of this one thread, per filter and for all in turn (each document judged by all)."""
    use_words(words)
    texts = [text_of(row) for row in read(path)]
    n_bytes = sum(len(text.encode()) for text in texts)
    figures = {}
    for name, chosen in [*(({name: {name: one}}).popitem() for name, one in filters().items()), ("all", filters())]:
        # The library keeps the words of the last few texts: each filter has to find them once, as in a pipeline.
        split_into_parts.cache_clear()
        began = time.process_time()
        for text in texts:
            judge(text, chosen)
        seconds = time.process_time() - began
        figures[name] = {"docs_per_s": len(texts) / seconds, "mb_per_s": n_bytes / seconds / 1e6}
    print(json.dumps(figures))


def main():
    words = "spacy" if sys.argv[-2:] == ["--words", "spacy"] else "plain"
    command, *paths = sys.argv[1 : -2 if words == "spacy" else None]
    if command == "verdicts":
        write_verdicts(read(paths[0]), paths[1], words)
    elif command == "compare":
        compare(*paths)
    elif command == "speed":
        speed(paths[0], words)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
