-- What a request cost and what stood between question and answer; `{}` for traces of before.
ALTER TABLE traces ADD COLUMN detail TEXT NOT NULL DEFAULT '{}';

-- What keys used, by minute (minutes since 1970); minute -1 is all that was ever used. A slot is one server's journal.
CREATE TABLE spending (
    api_key   TEXT NOT NULL,
    slot      INTEGER NOT NULL,
    minute    INTEGER NOT NULL,
    requests  INTEGER NOT NULL,
    tokens    INTEGER NOT NULL,
    micro_usd INTEGER NOT NULL,
    PRIMARY KEY (api_key, slot, minute)
) STRICT, WITHOUT ROWID;

-- Up to where each journal was folded in.
CREATE TABLE journal_marks (
    slot    INTEGER PRIMARY KEY,
    segment INTEGER NOT NULL,
    offset  INTEGER NOT NULL
) STRICT;
