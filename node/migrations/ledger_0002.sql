-- ledger_0002.sql: forked feeds, and own entries that must be written again.
--
-- Purpose     A feed that forked is held as a line that counts and branches beside it. A branch is
--             filed as a feed of its own under a label made from its first segment
--             (core/src/feed/fork.rs), so that frontiers, acks and receipts name it like any other.
-- Writer      store/branch.rs and store/again.rs.
-- Invariants  1. `epoch` is the label; `real_epoch` the epoch that the segments name. Equal on the
--                line that counts.
--             2. Segments of a row are numbered base, base + 1, ...; `count` counts those of the row.
--             3. Which row a segment is filed under may change; nothing else of it ever does.
-- Upgrade     Forward only. To undo, write the next number; never edit this file once released.

ALTER TABLE feed ADD COLUMN real_epoch BLOB;
ALTER TABLE feed ADD COLUMN base INTEGER NOT NULL DEFAULT 0;
UPDATE feed SET real_epoch = epoch;
CREATE INDEX feed_by_author ON feed (is_ledger, place, lane, author_key, real_epoch);

DROP TRIGGER segment_is_append_only_update;
CREATE TRIGGER segment_is_append_only_update
BEFORE UPDATE OF arrival, number, plain, hash, seal, committed_at_ms ON segment
BEGIN SELECT RAISE(ABORT, 'segment is append-only'); END;

CREATE TABLE again (
  -- Own entries of a closed epoch that wait to be written again in the present one.
  position   INTEGER PRIMARY KEY AUTOINCREMENT,
  is_ledger  INTEGER NOT NULL,
  place      BLOB    NOT NULL,
  lane       INTEGER NOT NULL,
  -- Canonical bytes of the entry.
  entry      BLOB    NOT NULL
) STRICT;

CREATE TABLE written_again (
  -- Segment and entry that were written again, by whom ever here: not twice.
  hash   BLOB    NOT NULL,
  entry  INTEGER NOT NULL,
  PRIMARY KEY (hash, entry)
) STRICT, WITHOUT ROWID;

CREATE TABLE rewritten (
  -- What became of an own change of a record that was written again, by its old hash: JSON of
  -- core/src/record/edit.rs, Rewritten.
  record  BLOB    NOT NULL,
  hash    BLOB    NOT NULL,
  body    TEXT    NOT NULL,
  PRIMARY KEY (record, hash)
) STRICT, WITHOUT ROWID;

-- Two clones of one key sign receipts in two epochs until one of them closes its own: the latest of
-- each epoch is kept.
ALTER TABLE receipt RENAME TO receipt_1;
CREATE TABLE receipt (
  issuer     BLOB    NOT NULL,
  epoch      BLOB    NOT NULL,
  is_ledger  INTEGER NOT NULL,
  place      BLOB    NOT NULL,
  number     INTEGER NOT NULL,
  plain      BLOB    NOT NULL,
  seal       BLOB    NOT NULL,
  -- When it came, by the own clock. Display only.
  came_at_ms INTEGER NOT NULL,
  PRIMARY KEY (issuer, epoch, is_ledger, place)
) STRICT, WITHOUT ROWID;
INSERT INTO receipt
SELECT issuer, epoch, is_ledger, place, number, plain, seal, came_at_ms FROM receipt_1;
DROP TABLE receipt_1;
