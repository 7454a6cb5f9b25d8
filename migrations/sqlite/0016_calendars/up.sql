-- Calendars: at which times rollouts reach devices. See 0001 for the conventions.

CREATE TABLE calendars (
  name TEXT PRIMARY KEY,
  -- Zone, windows and freezes.
  terms_json TEXT NOT NULL,
  revision INTEGER NOT NULL CHECK (revision >= 1),
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

-- Names of calendars; NULL: any time will do. No reference: a rollout that ended keeps no calendar from being deleted.
ALTER TABLE rollouts ADD COLUMN download_calendar TEXT;
ALTER TABLE rollouts ADD COLUMN install_calendar TEXT;
ALTER TABLE rollouts ADD COLUMN ignore_freeze INTEGER NOT NULL DEFAULT 0 CHECK (ignore_freeze IN (0, 1));
