-- ledger_0001.sql: ground truth (ledger.db).
--
-- Purpose     Everything that cannot be recomputed: feeds, sealed segments, the unsealed tail,
--             certificate chains, receipts, invitations, the audit. derived.db is rebuilt from it.
-- Writer      store/ledger.rs and store/peers.rs, through the one writer thread.
-- Invariants  1. (feed_id, number) is unique: numbers run 0, 1, 2 … without holes up to feed.count.
--             2. Segments are never changed or deleted (triggers below).
--             3. A tail entry is deleted only in the transaction that appends its segment.
-- Size        About 9 KB a segment at most 16 KiB; 60 thousand in a village after five years.
-- Upgrade     Forward only. To undo, write the next number; never edit this file once released.

CREATE TABLE meta (
  -- Name of a single value.
  key    TEXT PRIMARY KEY,
  value  BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE feed (
  feed_id     INTEGER PRIMARY KEY,
  -- 1 for a ledger slice, 0 for a directive slice.
  is_ledger   INTEGER NOT NULL,
  -- Place of the slice, 8 bytes.
  place       BLOB    NOT NULL,
  -- 0 directive, 1 urgent, 2 ordinary.
  lane        INTEGER NOT NULL,
  -- Author: Ed25519 key and epoch.
  author_key  BLOB    NOT NULL,
  epoch       BLOB    NOT NULL,
  -- Segments held, hash of the last one, entries in them.
  count       INTEGER NOT NULL DEFAULT 0,
  head        BLOB    NOT NULL,
  entries     INTEGER NOT NULL DEFAULT 0,
  UNIQUE (is_ledger, place, lane, author_key, epoch)
) STRICT;

CREATE TABLE segment (
  -- Local order of arrival. A cursor for local readers; means nothing on another replica.
  arrival         INTEGER PRIMARY KEY,
  feed_id         INTEGER NOT NULL REFERENCES feed (feed_id),
  -- Position in the feed, in segments, from 0.
  number          INTEGER NOT NULL CHECK (number >= 0),
  -- The sealed bytes, plain form.
  plain           BLOB    NOT NULL,
  -- Hash of the plain bytes and the Ed25519 seal over it.
  hash            BLOB    NOT NULL CHECK (length(hash) = 32),
  seal            BLOB    NOT NULL CHECK (length(seal) = 64),
  -- When this replica committed the row, by its own clock. Display only.
  committed_at_ms INTEGER NOT NULL,
  UNIQUE (feed_id, number)
) STRICT;

CREATE TRIGGER segment_is_append_only_update BEFORE UPDATE ON segment
BEGIN SELECT RAISE(ABORT, 'segment is append-only'); END;

CREATE TRIGGER segment_is_append_only_delete BEFORE DELETE ON segment
BEGIN SELECT RAISE(ABORT, 'segment is append-only'); END;

CREATE TABLE tail (
  -- Order in which own entries were saved.
  position   INTEGER PRIMARY KEY AUTOINCREMENT,
  is_ledger  INTEGER NOT NULL,
  place      BLOB    NOT NULL,
  lane       INTEGER NOT NULL,
  -- Canonical bytes of the entry.
  entry      BLOB    NOT NULL
) STRICT;

CREATE INDEX tail_by_feed ON tail (is_ledger, place, lane, position);

CREATE TABLE chain (
  -- Seal key that the chain certifies.
  seal_key      BLOB PRIMARY KEY,
  -- DER certificates, leaf first: count, then length and bytes of each.
  certificates  BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE receipt (
  -- Issuer's key and the slice it speaks of: the latest only.
  issuer     BLOB    NOT NULL,
  is_ledger  INTEGER NOT NULL,
  place      BLOB    NOT NULL,
  -- Epoch and number of the statement.
  epoch      BLOB    NOT NULL,
  number     INTEGER NOT NULL,
  plain      BLOB    NOT NULL,
  seal       BLOB    NOT NULL,
  -- When it came, by the own clock. Display only.
  came_at_ms INTEGER NOT NULL,
  PRIMARY KEY (issuer, is_ledger, place)
) STRICT, WITHOUT ROWID;

CREATE TABLE reach (
  -- Since when an issuer has held or applied a directive feed up to a count, as its receipts said
  -- first. Receipts are latest only, so this is noted when one comes.
  issuer      BLOB    NOT NULL,
  place       BLOB    NOT NULL,
  author_key  BLOB    NOT NULL,
  epoch       BLOB    NOT NULL,
  -- 1 applied, 0 held.
  applied     INTEGER NOT NULL,
  count       INTEGER NOT NULL,
  since_ms    INTEGER NOT NULL,
  PRIMARY KEY (issuer, place, author_key, epoch, applied, count)
) STRICT, WITHOUT ROWID;

CREATE TABLE invitation (
  -- Hash of the one-time secret.
  secret_hash  BLOB PRIMARY KEY,
  place        BLOB    NOT NULL,
  expires_ms   INTEGER NOT NULL,
  used_ms      INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE contact (
  -- One row a peer replica: the last successful contact, by the own clock.
  replica    BLOB PRIMARY KEY,
  place      BLOB    NOT NULL,
  -- 1 the parent, 0 a child.
  is_parent  INTEGER NOT NULL,
  last_ms    INTEGER NOT NULL,
  -- Last time both ends were known to hold the same; 0 if never.
  synced_ms  INTEGER NOT NULL DEFAULT 0,
  skew_ms    INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
  number   INTEGER PRIMARY KEY AUTOINCREMENT,
  time_ms  INTEGER NOT NULL,
  -- A word for the kind of event.
  kind     TEXT    NOT NULL,
  -- What happened; never values of people.
  text     TEXT    NOT NULL
) STRICT;
