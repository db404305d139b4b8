"""Writes the messages of the small project: `write_sources.py FILE`. The same bytes every time."""

import csv
import random
import sys

N_ROWS = 600
ASKED = {
    "refund": ["please send my money back", "I want a refund", "refund the second payment", "I was charged twice"],
    "delivery": ["where is my parcel", "the parcel has not come", "when does my delivery come", "track my parcel"],
    "password": ["I cannot log in", "reset my password", "my login is locked", "the password is not taken"],
    "invoice": ["send me the invoice", "I need an invoice for my taxes", "the invoice has a wrong address"],
}
OPENINGS = ["Hello,", "Hi there,", "Good morning,", "Dear team,", "To whom it may concern,", "Quick question:"]
ABOUT = ["the lamp", "a pair of shoes", "the kettle", "two chairs", "the garden hose", "a blue jacket", "the bread knife"]
WHEN = ["since Monday", "for a week", "since yesterday evening", "after the weekend", "as of this morning", "again"]
CLOSINGS = ["Thanks!", "Kind regards", "Please hurry.", "Many thanks in advance", "Can you help?", ""]


def message(rng, label):
    parts = [rng.choice(OPENINGS), rng.choice(ASKED[label]), "for", rng.choice(ABOUT), rng.choice(WHEN)]
    return " ".join([*parts, f"number {rng.randrange(100, 1000)}.", rng.choice(CLOSINGS)]).strip()


def main():
    rng = random.Random(7)
    with open(sys.argv[1], "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["id", "text", "label"])
        for row in range(N_ROWS):
            label = rng.choice(sorted(ASKED))
            out.writerow([f"m-{row:04}", message(rng, label), label])


main()
