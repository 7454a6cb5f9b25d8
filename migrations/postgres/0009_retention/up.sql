-- Letting go: devices that are retired or erased, builds that are deleted, and what is removed after its time. See 0001
-- for the conventions, and the SQLite file for what the columns mean.

ALTER TABLE devices ADD COLUMN retired_at BIGINT;
ALTER TABLE devices ADD COLUMN inactive_at BIGINT;
ALTER TABLE devices ADD COLUMN story_removed BOOLEAN NOT NULL DEFAULT FALSE;
-- The default draws anew for each row, those that are there included.
ALTER TABLE devices ADD COLUMN pseudonym TEXT COLLATE "C" DEFAULT replace(gen_random_uuid()::text, '-', '');
CREATE UNIQUE INDEX devices_pseudonym ON devices (pseudonym);

CREATE INDEX devices_name_unretired ON devices (name) WHERE retired_at IS NULL;
CREATE INDEX devices_name_retired ON devices (name, retired_at) WHERE retired_at IS NOT NULL;
DROP INDEX devices_alias_key;
CREATE INDEX devices_alias_unretired ON devices (alias_key, id) WHERE retired_at IS NULL;
CREATE INDEX devices_alias_retired ON devices (alias_key, id) WHERE retired_at IS NOT NULL;
DROP INDEX devices_last_seen;
CREATE INDEX devices_last_seen ON devices (last_seen_at, id, retired_at) WHERE retired_at IS NULL;
CREATE INDEX devices_story_end ON devices (retired_at) WHERE retired_at IS NOT NULL AND NOT story_removed;
CREATE INDEX devices_inactive ON devices (coalesce(last_seen_at, enrolled_at), inactive_at) WHERE inactive_at IS NOT NULL;

ALTER TABLE device_packages ADD COLUMN counted BOOLEAN NOT NULL DEFAULT TRUE;
DROP INDEX device_packages_cohort;
CREATE INDEX device_packages_cohort ON device_packages (package_id, version_code, cohort, counted) WHERE counted;
DROP INDEX device_packages_version;
CREATE INDEX device_packages_version ON device_packages (package_id, version_code, device_id, counted) WHERE counted;
DROP INDEX device_packages_standing;
CREATE INDEX device_packages_standing ON device_packages (package_id, standing, device_id, counted) WHERE counted;
CREATE INDEX device_packages_package ON device_packages (package_id);

CREATE TABLE erased_devices (
  tag BYTEA PRIMARY KEY CHECK (length(tag) = 32),
  generation BIGINT NOT NULL CHECK (generation >= 2),
  epoch BIGINT NOT NULL
);
CREATE INDEX erased_devices_epoch ON erased_devices (epoch);

ALTER TABLE builds ADD COLUMN deleted_at BIGINT;

CREATE INDEX deployment_stat_hours_hour ON deployment_stat_hours (hour_at);
CREATE INDEX rollout_stat_hours_hour ON rollout_stat_hours (hour_at);
CREATE INDEX nudge_unknown_devices_name ON nudge_unknown_devices (name);

CREATE TABLE leases (
  name TEXT COLLATE "C" PRIMARY KEY,
  holder TEXT COLLATE "C" NOT NULL,
  until_at BIGINT NOT NULL
);
