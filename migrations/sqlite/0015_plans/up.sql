-- Plans, and releases that wait for a second person. See 0001 for the conventions, and 0013 for how a check is changed.

PRAGMA writable_schema = ON;
UPDATE sqlite_schema
SET sql = replace(sql, '''scheduled'', ''active''', '''proposed'', ''scheduled'', ''active''')
WHERE type = 'table' AND name = 'rollouts';
PRAGMA writable_schema = RESET;

-- The plan's steps and where it stands among them; NULL: the share stays as it is set.
ALTER TABLE rollouts ADD COLUMN plan_json TEXT;
-- Who edited the terms last, who approved them, and what waits for an approval.
ALTER TABLE rollouts ADD COLUMN consent_json TEXT NOT NULL DEFAULT '{}';
-- Whether the bases that serve when it begins go on.
ALTER TABLE rollouts ADD COLUMN keep_previous INTEGER NOT NULL DEFAULT 0 CHECK (keep_previous IN (0, 1));

-- Which releases of the package wait for a second person.
ALTER TABLE packages ADD COLUMN approval TEXT NOT NULL DEFAULT 'never';
-- What another admin has asked approval to be lowered to.
ALTER TABLE packages ADD COLUMN approval_request_json TEXT;
-- The plan that is proposed for the package's releases; NULL: the one that is proposed to all.
ALTER TABLE packages ADD COLUMN plan_json TEXT;

-- What happened to each rollout.
CREATE TABLE rollout_events (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  rollout_id INTEGER NOT NULL REFERENCES rollouts (id),
  at INTEGER NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  -- How it stands afterwards.
  state TEXT NOT NULL,
  phase TEXT,
  -- Of its plan, from 1.
  step INTEGER,
  percent_hundredths INTEGER NOT NULL CHECK (percent_hundredths BETWEEN 0 AND 10000)
) STRICT;
CREATE INDEX rollout_events_rollout ON rollout_events (rollout_id, id);
