-- Letting go: devices that are retired or erased, builds that are deleted, and what is removed after its time. See 0001
-- for the conventions.

-- Since when the device is no longer part of the fleet; NULL: it is. One that enrols again is.
ALTER TABLE devices ADD COLUMN retired_at INTEGER;
-- Since when the device is not counted because it had not polled for long; NULL: it is counted, or retired.
ALTER TABLE devices ADD COLUMN inactive_at INTEGER;
-- Whether the stories of a retired device were removed after their time.
ALTER TABLE devices ADD COLUMN story_removed INTEGER NOT NULL DEFAULT 0 CHECK (story_removed IN (0, 1));
-- 128 random bits by which the audit log names the device: without this row they name nobody. A trigger draws them, so
-- that no row is without, whoever adds it.
ALTER TABLE devices ADD COLUMN pseudonym TEXT;
UPDATE devices SET pseudonym = lower(hex(randomblob(16)));
CREATE UNIQUE INDEX devices_pseudonym ON devices (pseudonym);
CREATE TRIGGER devices_draw_pseudonym AFTER INSERT ON devices WHEN NEW.pseudonym IS NULL
BEGIN
  UPDATE devices SET pseudonym = lower(hex(randomblob(16))) WHERE id = NEW.id;
END;

-- Lists leave retired devices out, or show them alone.
CREATE INDEX devices_name_unretired ON devices (name) WHERE retired_at IS NULL;
CREATE INDEX devices_name_retired ON devices (name, retired_at) WHERE retired_at IS NOT NULL;
DROP INDEX devices_alias_key;
CREATE INDEX devices_alias_unretired ON devices (alias_key, id) WHERE retired_at IS NULL;
CREATE INDEX devices_alias_retired ON devices (alias_key, id) WHERE retired_at IS NOT NULL;
DROP INDEX devices_last_seen;
CREATE INDEX devices_last_seen ON devices (last_seen_at, id, retired_at) WHERE retired_at IS NULL;
-- Retired devices whose stories are still there, the longest retired first.
CREATE INDEX devices_story_end ON devices (retired_at) WHERE retired_at IS NOT NULL AND NOT story_removed;
CREATE INDEX devices_inactive ON devices (coalesce(last_seen_at, enrolled_at), inactive_at) WHERE inactive_at IS NOT NULL;

-- Whether the row is counted: not that of a device that is retired or inactive. Partial indexes hold what their
-- conditions name as well: SQLite would look it up in the row.
ALTER TABLE device_packages ADD COLUMN counted INTEGER NOT NULL DEFAULT 1 CHECK (counted IN (0, 1));
DROP INDEX device_packages_cohort;
CREATE INDEX device_packages_cohort ON device_packages (package_id, version_code, cohort, counted) WHERE counted;
DROP INDEX device_packages_version;
CREATE INDEX device_packages_version ON device_packages (package_id, version_code, device_id, counted) WHERE counted;
DROP INDEX device_packages_standing;
CREATE INDEX device_packages_standing ON device_packages (package_id, standing, device_id, counted) WHERE counted;
CREATE INDEX device_packages_package ON device_packages (package_id);

-- Devices that were erased, by a keyed hash of their ids: their earlier tokens stay refused.
CREATE TABLE erased_devices (
  tag BLOB PRIMARY KEY CHECK (length(tag) = 32),
  -- The lowest generation of device tokens that is accepted from such an id.
  generation INTEGER NOT NULL CHECK (generation >= 2),
  -- The value of the epoch "tokens" at which it was written.
  epoch INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX erased_devices_epoch ON erased_devices (epoch);

-- When the build was deleted, and its file with it; NULL: it was not. A build that never had a rollout leaves no row.
ALTER TABLE builds ADD COLUMN deleted_at INTEGER;

-- What is removed after its time.
CREATE INDEX deployment_stat_hours_hour ON deployment_stat_hours (hour_at);
CREATE INDEX rollout_stat_hours_hour ON rollout_stat_hours (hour_at);
CREATE INDEX nudge_unknown_devices_name ON nudge_unknown_devices (name);

-- Work that one server does at a time. The lease ends by the database's clock.
CREATE TABLE leases (
  name TEXT PRIMARY KEY,
  holder TEXT NOT NULL,
  until_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
