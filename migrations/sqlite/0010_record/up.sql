-- What makes changes behind the server's back show. See 0001 for the conventions.

-- One row: made with the key at the first start, which seals what was there before. An audit entry after the first
-- `bare_entries` without its MAC, or an account without one, is not the server's.
CREATE TABLE record (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  bare_entries INTEGER NOT NULL CHECK (bare_entries >= 0),
  sealed_at INTEGER NOT NULL,
  -- Ed25519: what heads of the audit log are verified with.
  public_key BLOB NOT NULL CHECK (length(public_key) = 32),
  -- HMAC-SHA256 over the above with the record's key.
  mac BLOB NOT NULL CHECK (length(mac) = 32)
) STRICT;

-- The record's key, encrypted with a key that is derived from a master key; a row for each master key.
CREATE TABLE record_keys (
  -- Names the master key without telling it.
  master_key TEXT PRIMARY KEY,
  wrapped BLOB NOT NULL,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- HMAC-SHA256 with the record's key; NULL: written before there was one. Of an audit entry it covers the hash, and
-- through it all entries before.
ALTER TABLE audit_log ADD COLUMN mac BLOB;
ALTER TABLE users ADD COLUMN mac BLOB;
ALTER TABLE service_accounts ADD COLUMN mac BLOB;

-- When a backup was put in the place of the database, as `tidegate admin restored` was told. Admin tokens that were
-- issued before the last of these are refused.
CREATE TABLE restorations (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  restored_at INTEGER NOT NULL,
  restored_by TEXT NOT NULL,
  -- When somebody said that the revocations made since the backup were repeated; NULL: the page asks for it.
  dismissed_at INTEGER
) STRICT;
