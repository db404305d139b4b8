-- Documents: every kind of record that has no table of its own.
CREATE TABLE entities (
    seq        INTEGER PRIMARY KEY,
    kind       TEXT NOT NULL,
    id         TEXT NOT NULL,
    state      TEXT NOT NULL,
    body       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (kind, id)
) STRICT;
CREATE INDEX entities_by_state ON entities (kind, state);

-- The hash chain. A link is never changed or removed.
CREATE TABLE events (
    seq        INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    actor      TEXT NOT NULL,
    kind       TEXT NOT NULL,
    about_kind TEXT NOT NULL,
    about_id   TEXT NOT NULL,
    body       TEXT NOT NULL,
    prev       TEXT NOT NULL,
    hash       TEXT NOT NULL
) STRICT;

CREATE TABLE traces (
    id             TEXT PRIMARY KEY,
    at             INTEGER NOT NULL,
    route          TEXT NOT NULL,
    variant        TEXT NOT NULL,
    model          TEXT NOT NULL,
    api_key        TEXT,
    subject        TEXT,
    input          TEXT NOT NULL,
    output         TEXT NOT NULL,
    tokens_in      INTEGER NOT NULL,
    tokens_out     INTEGER NOT NULL,
    latency_ms     REAL NOT NULL,
    first_token_ms REAL NOT NULL,
    status         INTEGER NOT NULL,
    finish         TEXT NOT NULL,
    tag            TEXT
) STRICT;
CREATE INDEX traces_by_time ON traces (at, id);
CREATE INDEX traces_by_route ON traces (route, at, id);
CREATE INDEX traces_by_tag ON traces (tag, at, id);
CREATE INDEX traces_by_subject ON traces (subject);

CREATE TABLE feedback (
    id         TEXT PRIMARY KEY,
    trace      TEXT NOT NULL REFERENCES traces (id) ON DELETE CASCADE,
    thumb_up   INTEGER,
    correction TEXT,
    comment    TEXT,
    source     TEXT NOT NULL,
    at         INTEGER NOT NULL
) STRICT;
CREATE INDEX feedback_by_trace ON feedback (trace);

-- A value that is not a number (a diverged loss) is stored as NULL: SQLite has no NaN.
CREATE TABLE run_metrics (
    run   TEXT NOT NULL,
    name  TEXT NOT NULL,
    step  INTEGER NOT NULL,
    value REAL,
    at    INTEGER NOT NULL,
    PRIMARY KEY (run, name, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE edges (
    seq       INTEGER PRIMARY KEY,
    from_kind TEXT NOT NULL,
    from_id   TEXT NOT NULL,
    relation  TEXT NOT NULL,
    to_kind   TEXT NOT NULL,
    to_id     TEXT NOT NULL,
    UNIQUE (from_kind, from_id, relation, to_kind, to_id)
) STRICT;
CREATE INDEX edges_by_target ON edges (to_kind, to_id);

CREATE TABLE jobs (
    id              TEXT PRIMARY KEY,
    kind            TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    payload         TEXT NOT NULL,
    state           TEXT NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    leased_until    INTEGER,
    error           TEXT,
    created_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX jobs_by_state ON jobs (state, kind, id);
-- While a job waits, runs or is done, no second one with its key is queued; after it failed for good, one may be.
CREATE UNIQUE INDEX jobs_once ON jobs (idempotency_key) WHERE state IN ('queued', 'leased', 'done');
