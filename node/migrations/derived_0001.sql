-- derived_0001.sql: everything that is recomputed from ledger.db (derived.db).
--
-- Purpose     Records, rows, links, conflicts, findings, roll-ups, parked and void entries, search.
--             May be deleted; `rebuild` makes the identical state.
-- Writer      store/derived.rs, in the same critical section as the ledger.
-- Upgrade     Delete and rebuild: this file may be edited; its hash is the version.

CREATE TABLE meta (
  key    TEXT PRIMARY KEY,
  value  BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE feed_state (
  -- ledger.db feed.feed_id.
  feed_id  INTEGER PRIMARY KEY,
  -- Segments projected.
  count    INTEGER NOT NULL,
  -- Cumulative `sees` after the last of them.
  sees     BLOB    NOT NULL
) STRICT;

CREATE TABLE record (
  rowid       INTEGER PRIMARY KEY,
  is_ledger   INTEGER NOT NULL,
  place       BLOB    NOT NULL,
  record      BLOB    NOT NULL,
  ledger      TEXT    NOT NULL,
  -- The record's log (core/src/record/log.rs), storage form.
  log         BLOB    NOT NULL,
  -- The folded row as JSON; empty while no counted change has created the record.
  row         TEXT    NOT NULL,
  -- Hash of the row and of findings that do not depend on today.
  hash        BLOB    NOT NULL,
  state       TEXT    NOT NULL,
  is_void     INTEGER NOT NULL,
  conflicts   INTEGER NOT NULL,
  -- Whether certified content has changed: 待复核 or 需重新签字.
  recheck     INTEGER NOT NULL,
  title       TEXT    NOT NULL,
  -- The day of the ledger's deadline while it must be met; empty otherwise.
  due_on      TEXT    NOT NULL,
  -- Highest wall time of a counted change. Display only.
  changed_ms  INTEGER NOT NULL,
  -- Position in the order in which changes of its ledger were taken up here: cursors of other systems.
  touched     INTEGER NOT NULL,
  -- Directive records: author and number of the segment that created it.
  origin_key    BLOB,
  origin_epoch  BLOB,
  origin_number INTEGER,
  UNIQUE (is_ledger, place, record)
) STRICT;

CREATE INDEX record_by_ledger ON record (ledger, place, is_void, title);
CREATE INDEX record_by_due ON record (ledger, due_on) WHERE due_on <> '';
CREATE INDEX record_by_touch ON record (ledger, touched);
CREATE INDEX record_by_id ON record (record);
CREATE INDEX record_in_conflict ON record (conflicts) WHERE conflicts > 0;
CREATE INDEX record_to_recheck ON record (ledger) WHERE recheck > 0;

CREATE TABLE state_tally (
  -- Records that are not void, by state.
  ledger  TEXT    NOT NULL,
  place   BLOB    NOT NULL,
  state   TEXT    NOT NULL,
  count   INTEGER NOT NULL,
  PRIMARY KEY (ledger, place, state)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER record_counted AFTER INSERT ON record WHEN NEW.is_void = 0 AND NEW.row <> '' BEGIN
  INSERT INTO state_tally VALUES (NEW.ledger, NEW.place, NEW.state, 1)
    ON CONFLICT DO UPDATE SET count = count + 1;
END;

CREATE TRIGGER record_counted_again AFTER UPDATE OF ledger, row, state, is_void ON record
  WHEN OLD.ledger <> NEW.ledger OR OLD.state <> NEW.state OR OLD.is_void <> NEW.is_void
    OR (OLD.row = '') <> (NEW.row = '') BEGIN
  UPDATE state_tally SET count = count - 1 WHERE OLD.is_void = 0 AND OLD.row <> ''
    AND ledger = OLD.ledger AND place = OLD.place AND state = OLD.state;
  INSERT INTO state_tally SELECT NEW.ledger, NEW.place, NEW.state, 1
    WHERE NEW.is_void = 0 AND NEW.row <> ''
    ON CONFLICT DO UPDATE SET count = count + 1;
END;

CREATE TABLE link (
  -- Value of an indexed field of a record.
  place   BLOB NOT NULL,
  ledger  TEXT NOT NULL,
  field   TEXT NOT NULL,
  value   TEXT NOT NULL,
  record  BLOB NOT NULL,
  PRIMARY KEY (place, ledger, field, value, record)
) STRICT, WITHOUT ROWID;

CREATE INDEX link_by_record ON link (record);
CREATE INDEX link_by_value ON link (ledger, field, value);

CREATE TABLE finding (
  is_ledger INTEGER NOT NULL,
  place     BLOB NOT NULL,
  record    BLOB NOT NULL,
  rule      TEXT NOT NULL,
  severity  TEXT NOT NULL,
  outcome   TEXT NOT NULL,
  reason    TEXT NOT NULL,
  dated     INTEGER NOT NULL,
  PRIMARY KEY (place, record, rule)
) STRICT, WITHOUT ROWID;

CREATE TABLE rule_tally (
  -- Findings by rule and outcome.
  rule     TEXT    NOT NULL,
  outcome  TEXT    NOT NULL,
  count    INTEGER NOT NULL,
  PRIMARY KEY (rule, outcome)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER finding_counted AFTER INSERT ON finding BEGIN
  INSERT INTO rule_tally VALUES (NEW.rule, NEW.outcome, 1)
    ON CONFLICT DO UPDATE SET count = count + 1;
END;

CREATE TRIGGER finding_gone AFTER DELETE ON finding BEGIN
  UPDATE rule_tally SET count = count - 1 WHERE rule = OLD.rule AND outcome = OLD.outcome;
END;

CREATE INDEX finding_by_rule ON finding (rule, outcome, place);

CREATE TABLE contribution (
  -- What a record adds to an indicator in a period.
  place      BLOB    NOT NULL,
  record     BLOB    NOT NULL,
  indicator  TEXT    NOT NULL,
  -- 2018-05, 2018, or empty for what stands.
  period     TEXT    NOT NULL,
  -- Of a count of different values: the value, which counts once a slice.
  distinct_value TEXT NOT NULL,
  value      INTEGER NOT NULL,
  -- Places from its own upward in which it counts: fewer for a duplicate, which counts once where
  -- both are seen.
  reach      INTEGER NOT NULL,
  -- The same from above: the places between the root and the highest one in which it counts.
  top        INTEGER NOT NULL,
  PRIMARY KEY (record, indicator, period, distinct_value, place)
) STRICT, WITHOUT ROWID;

CREATE INDEX contribution_of_value ON contribution (place, indicator, distinct_value)
  WHERE distinct_value <> '';

CREATE TABLE rollup (
  -- Sums of contributions of the subtree of a place.
  place      BLOB    NOT NULL,
  indicator  TEXT    NOT NULL,
  period     TEXT    NOT NULL,
  value      INTEGER NOT NULL,
  PRIMARY KEY (place, indicator, period)
) STRICT, WITHOUT ROWID;

CREATE TABLE right_move (
  -- The record that states it: slice and id. Somebody else's record may bear the same id.
  is_ledger INTEGER NOT NULL,
  place   BLOB    NOT NULL,
  source  BLOB    NOT NULL,
  -- What it is about: a transfer and its repetition by the same giver are one.
  id      BLOB    NOT NULL,
  pool    BLOB    NOT NULL,
  name    TEXT    NOT NULL,
  op      TEXT    NOT NULL,
  -- Authors: key and epoch, 48 bytes.
  giver   BLOB,
  taker   BLOB,
  amount  INTEGER NOT NULL,
  first   INTEGER NOT NULL,
  PRIMARY KEY (is_ledger, place, source)
) STRICT, WITHOUT ROWID;

CREATE INDEX right_move_by_pool ON right_move (pool);
CREATE INDEX right_move_by_name ON right_move (name);

CREATE TABLE parked (
  arrival   INTEGER NOT NULL,
  -- Index of the entry in its segment.
  entry     INTEGER NOT NULL,
  is_ledger INTEGER NOT NULL,
  place     BLOB    NOT NULL,
  waiting   TEXT    NOT NULL,
  -- Cumulative `sees` at its segment.
  sees      BLOB    NOT NULL,
  PRIMARY KEY (arrival, entry)
) STRICT, WITHOUT ROWID;

CREATE INDEX parked_by_slice ON parked (is_ledger, place, arrival, entry);

CREATE TABLE void_entry (
  arrival   INTEGER NOT NULL,
  entry     INTEGER NOT NULL,
  is_ledger INTEGER NOT NULL,
  place     BLOB    NOT NULL,
  author    BLOB    NOT NULL,
  reason    TEXT    NOT NULL,
  PRIMARY KEY (arrival, entry)
) STRICT, WITHOUT ROWID;

-- Characters separated by blanks, queried as a phrase: finds names of two characters.
CREATE VIRTUAL TABLE search USING fts5 (text, content = '', contentless_delete = 1);

CREATE TABLE blob_name (
  -- A blob that a record names, and whether it is here.
  is_ledger INTEGER NOT NULL,
  place     BLOB    NOT NULL,
  record    BLOB    NOT NULL,
  hash      BLOB    NOT NULL,
  bytes     INTEGER NOT NULL,
  held      INTEGER NOT NULL,
  PRIMARY KEY (place, is_ledger, record, hash)
) STRICT, WITHOUT ROWID;

CREATE INDEX blob_by_hash ON blob_name (hash);
CREATE INDEX blob_missing ON blob_name (bytes) WHERE held = 0;
