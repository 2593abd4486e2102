-- ledger_0004.sql: who may use the pages of this replica.
--
-- Purpose     Accounts and sessions are this replica's own: they do not sync. An entry carries its
--             writer's name and role as this replica's word.
-- Writer      store/accounts.rs.
-- Invariants  1. A login is never given to another person: accounts are disabled, not deleted.
--             2. Passwords are kept as Argon2id hashes, session tokens as BLAKE3 hashes.
-- Upgrade     Forward only. To undo, write the next number; never edit this file once released.

CREATE TABLE account (
  login            TEXT PRIMARY KEY,
  name             TEXT    NOT NULL,
  -- A role of the catalogue.
  role             TEXT    NOT NULL,
  -- administrator, clerk, inspector or reviewer.
  duty             TEXT    NOT NULL,
  password         TEXT    NOT NULL,
  -- Wrong passwords since the last right one.
  failures         INTEGER NOT NULL DEFAULT 0,
  locked_until_ms  INTEGER NOT NULL DEFAULT 0,
  disabled_ms      INTEGER,
  created_ms       INTEGER NOT NULL
) STRICT;

CREATE TABLE web_session (
  token_hash  BLOB PRIMARY KEY,
  login       TEXT    NOT NULL REFERENCES account (login),
  -- The word that every form of the session carries.
  csrf        TEXT    NOT NULL,
  started_ms  INTEGER NOT NULL,
  seen_ms     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX web_session_by_login ON web_session (login);
