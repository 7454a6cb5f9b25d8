-- People who leave, and tokens that end before their time. See 0001 for the conventions.
--
-- The epoch "people" rises with each change below that servers keep in memory; a row is stamped with its value at the
-- change.

INSERT INTO epochs (name, value) VALUES ('people', 0);

-- Since when they may not log in; NULL: they may.
ALTER TABLE users ADD COLUMN disabled_at INTEGER;
ALTER TABLE users ADD COLUMN last_login_at INTEGER;

-- Which admin tokens of a subject are accepted: those of this generation or a later one. A subject without a row is in
-- its first. A row stays when the account is removed, so that its tokens stay refused.
CREATE TABLE account_generations (
  subject TEXT PRIMARY KEY,
  generation INTEGER NOT NULL CHECK (generation >= 2),
  epoch INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX account_generations_epoch ON account_generations (epoch);

-- Admin tokens, by their `jti`, that were ended before they expire: sessions that were logged out, and what was revoked.
CREATE TABLE ended_tokens (
  id TEXT PRIMARY KEY,
  expires_at INTEGER NOT NULL,
  epoch INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX ended_tokens_epoch ON ended_tokens (epoch);
CREATE INDEX ended_tokens_expires_at ON ended_tokens (expires_at);

-- Machines that call the admin surface. One that was removed keeps its row, and its name may be used again.
CREATE TABLE service_accounts (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  role TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
  -- What it is limited to; NULL: nothing.
  limits_json TEXT,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  removed_at INTEGER,
  epoch INTEGER NOT NULL
) STRICT;
CREATE INDEX service_accounts_epoch ON service_accounts (epoch);

-- Tokens that were handed out: those of service accounts, and those that the console made. Sessions are not among them.
CREATE TABLE admin_tokens (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  -- The token's `jti`.
  token_id TEXT NOT NULL UNIQUE,
  subject TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  -- To the minute; NULL: never.
  last_used_at INTEGER,
  revoked_at INTEGER
) STRICT;
CREATE INDEX admin_tokens_subject ON admin_tokens (subject, id);
CREATE INDEX admin_tokens_expires_at ON admin_tokens (expires_at);
