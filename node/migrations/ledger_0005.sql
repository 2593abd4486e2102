-- ledger_0005.sql: tokens of other systems.
--
-- Purpose     What another system shows to read this replica. Tokens are this replica's own: they do not
--             sync.
-- Writer      store/tokens.rs.
-- Invariants  1. A secret is kept as its BLAKE3 hash only: it is 32 random bytes, so nobody guesses it
--                from its hash.
--             2. A name is never given again: tokens are withdrawn, not deleted.
-- Upgrade     Forward only. To undo, write the next number; never edit this file once released.

CREATE TABLE token (
  token_hash    BLOB PRIMARY KEY,
  name          TEXT    NOT NULL UNIQUE,
  -- figures, metrics and ids of ledgers, separated by commas.
  scope         TEXT    NOT NULL,
  -- The place whose subtree it may read.
  place         BLOB    NOT NULL,
  -- The duty with whose eyes it sees fields.
  duty          TEXT    NOT NULL,
  created_ms    INTEGER NOT NULL,
  expires_ms    INTEGER NOT NULL,
  withdrawn_ms  INTEGER,
  -- When it was last noted as used; 0 if never.
  used_ms       INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- What is stated of one slice: pages of records ask for it.
CREATE INDEX receipt_by_slice ON receipt (is_ledger, place);
