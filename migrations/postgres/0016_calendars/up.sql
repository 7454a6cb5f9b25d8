-- Calendars: at which times rollouts reach devices. See 0001 for the conventions.

CREATE TABLE calendars (
  name TEXT COLLATE "C" PRIMARY KEY,
  -- Zone, windows and freezes.
  terms_json TEXT NOT NULL,
  revision BIGINT NOT NULL CHECK (revision >= 1),
  created_by TEXT NOT NULL,
  created_at BIGINT NOT NULL
);

-- Names of calendars; NULL: any time will do. No reference: a rollout that ended keeps no calendar from being deleted.
ALTER TABLE rollouts ADD COLUMN download_calendar TEXT COLLATE "C";
ALTER TABLE rollouts ADD COLUMN install_calendar TEXT COLLATE "C";
ALTER TABLE rollouts ADD COLUMN ignore_freeze BOOLEAN NOT NULL DEFAULT FALSE;
