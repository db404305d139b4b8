"""The parts of `transfer.sh` that are not ours.

usage: transfer_peer.py scratch ENCODER OUT   the encoder's shape and tokenizer with random weights, as a model's folder
       transfer_peer.py curve NAME PROJECT    the newest run's accuracy by step, and the test's
       transfer_peer.py linear ROWS           TF-IDF and logistic regression on exported rows
"""

import json
import pathlib
import shutil
import sqlite3
import sys


def scratch(encoder, out):
    import torch
    from transformers import AutoConfig, BertModel

    torch.manual_seed(1)
    BertModel(AutoConfig.from_pretrained(encoder)).save_pretrained(out)
    for file in pathlib.Path(encoder).iterdir():
        if "token" in file.name or file.name == "vocab.txt":
            shutil.copy(file, out)


def curve(name, project):
    project = pathlib.Path(project)
    records = sqlite3.connect(project / ".loopwright/records.db")
    (run,) = records.execute("select run from run_metrics order by at desc limit 1").fetchone()
    points = records.execute(
        "select step, value from run_metrics where run = ? and name = 'eval_accuracy' order by step", (run,)
    )
    (rate,) = records.execute(
        "select value from run_metrics where run = ? and name = 'tokens_per_s' order by step desc limit 1", (run,)
    ).fetchone()
    scores = json.loads((project / "judged.json").read_text())["scores"]
    validation = {str(step): round(value, 4) for step, value in points}
    test = {metric: round(scores[metric]["point"], 4) for metric in ("accuracy", "macro_f1")}
    print(json.dumps({"run": name, "tokens_per_s": round(rate), "validation": validation, "test": test}), flush=True)


def linear(rows):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score

    split = {}
    for line in pathlib.Path(rows).read_text().splitlines():
        row = json.loads(line)
        split.setdefault(row["split"], []).append((row["text"], row["label"]))
    texts = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    model = LogisticRegression(C=30.0, max_iter=1000)
    learned = list(zip(*split["train"]))
    model.fit(texts.fit_transform(learned[0]), learned[1])
    result = {"run": "TF-IDF and logistic regression"}
    for name in ("validation", "test"):
        asked = list(zip(*split[name]))
        answers = model.predict(texts.transform(asked[0]))
        accuracy = sum(a == b for a, b in zip(answers, asked[1])) / len(answers)
        result[name] = {"accuracy": round(accuracy, 4), "macro_f1": round(f1_score(asked[1], answers, average="macro"), 4)}
    print(json.dumps(result), flush=True)


{"scratch": scratch, "curve": curve, "linear": linear}[sys.argv[1]](*sys.argv[2:])
