-- The rollout becomes the unit: what devices did is kept by rollout and build beside the build's own totals, since two
-- rollouts may offer one build. See 0001 for the conventions.

-- How often a build was released anew. "Attempt" stays the protocol's word for it.
ALTER TABLE rollouts RENAME COLUMN attempt TO retry_generation;
ALTER TABLE reports RENAME COLUMN attempt TO retry_generation;
ALTER TABLE device_builds RENAME COLUMN failure_attempt TO failure_generation;
ALTER TABLE device_builds RENAME COLUMN rejected_attempt TO rejected_generation;

-- The version that a forced roll-back takes devices back from; NULL: it was not forced.
ALTER TABLE rollouts ADD COLUMN takes_back_version BIGINT;
UPDATE rollouts SET takes_back_version = (SELECT version_code FROM builds WHERE builds.id = rollouts.rolled_back_from)
WHERE force_downgrade;
ALTER TABLE rollouts DROP COLUMN force_downgrade;

-- What the device said of itself in its last poll; NULL: it has not polled since this column exists.
ALTER TABLE devices ADD COLUMN polled_json TEXT;
-- The value of the epoch "tokens" at which token_generation changed last.
ALTER TABLE devices ADD COLUMN token_epoch BIGINT NOT NULL DEFAULT 0;
CREATE INDEX devices_token_epoch ON devices (token_epoch) WHERE token_epoch > 0;

-- What the device's last poll was told: "offered", or the reason why nothing was.
ALTER TABLE device_packages ADD COLUMN standing TEXT;
-- How often the package had crashed, as its last poll said.
ALTER TABLE device_packages ADD COLUMN crashes BIGINT;
CREATE INDEX device_packages_standing ON device_packages (package_id, standing, device_id);

-- The rollout that offered the build last. A report that names no rollout counts for it.
ALTER TABLE device_builds ADD COLUMN offered_rollout_id BIGINT;
-- The value of the epoch "rejections" at which the rejection changed last.
ALTER TABLE device_builds ADD COLUMN rejection_epoch BIGINT NOT NULL DEFAULT 0;
UPDATE device_builds SET offered_rollout_id = last.id
FROM (SELECT build_id, max(id) AS id FROM rollouts GROUP BY build_id) last
WHERE last.build_id = device_builds.build_id AND offered_at IS NOT NULL;
-- After the rows, so that the key is checked for the table as a whole.
ALTER TABLE device_builds ADD FOREIGN KEY (offered_rollout_id) REFERENCES rollouts (id);
CREATE INDEX device_builds_rejection_epoch ON device_builds (rejection_epoch) WHERE rejection_epoch > 0;
CREATE INDEX device_builds_offered_rollout ON device_builds (offered_rollout_id);

CREATE TABLE device_rollouts (
  device_id BIGINT NOT NULL,
  rollout_id BIGINT NOT NULL,
  build_id BIGINT NOT NULL,
  -- The first time of each; NULL: never. Each is counted once in the rollout's statistics.
  offered_at BIGINT,
  downloaded_at BIGINT,
  verify_failed_at BIGINT,
  install_failed_at BIGINT,
  installed_at BIGINT,
  last_status TEXT,
  last_reason TEXT,
  last_at BIGINT,
  PRIMARY KEY (device_id, rollout_id, build_id)
);
-- Until now nobody kept which rollout of a build a device met: it is taken to be the build's last.
INSERT INTO device_rollouts
SELECT device_id, offered_rollout_id, build_id, offered_at, downloaded_at, verify_failed_at, install_failed_at,
       installed_at, last_status, last_reason, last_at
FROM device_builds WHERE offered_rollout_id IS NOT NULL
ORDER BY device_id, offered_rollout_id, build_id;
ALTER TABLE device_rollouts
  ADD FOREIGN KEY (device_id) REFERENCES devices (id),
  ADD FOREIGN KEY (rollout_id) REFERENCES rollouts (id),
  ADD FOREIGN KEY (build_id) REFERENCES builds (id);
CREATE INDEX device_rollouts_rollout ON device_rollouts (rollout_id);
CREATE INDEX device_rollouts_build ON device_rollouts (build_id);

ALTER TABLE deployment_stats ADD COLUMN last_updated_at BIGINT;
UPDATE deployment_stats
SET last_updated_at = (SELECT max(hour_at) FROM deployment_stat_hours h WHERE h.build_id = deployment_stats.build_id);

CREATE TABLE rollout_stats (
  rollout_id BIGINT NOT NULL REFERENCES rollouts (id),
  build_id BIGINT NOT NULL REFERENCES builds (id),
  total_checks BIGINT NOT NULL DEFAULT 0,
  total_eligible BIGINT NOT NULL DEFAULT 0,
  total_downloads BIGINT NOT NULL DEFAULT 0,
  installs_success BIGINT NOT NULL DEFAULT 0,
  installs_failed BIGINT NOT NULL DEFAULT 0,
  verify_failed BIGINT NOT NULL DEFAULT 0,
  last_updated_at BIGINT,
  PRIMARY KEY (rollout_id, build_id)
);
INSERT INTO rollout_stats
SELECT (SELECT max(id) FROM rollouts r WHERE r.build_id = s.build_id), s.build_id, s.total_checks, s.total_eligible,
       s.total_downloads, s.installs_success, s.installs_failed, s.verify_failed, s.last_updated_at
FROM deployment_stats s WHERE EXISTS (SELECT 1 FROM rollouts r WHERE r.build_id = s.build_id);
CREATE INDEX rollout_stats_build ON rollout_stats (build_id);

CREATE TABLE rollout_stat_hours (
  rollout_id BIGINT NOT NULL REFERENCES rollouts (id),
  build_id BIGINT NOT NULL REFERENCES builds (id),
  hour_at BIGINT NOT NULL,
  total_checks BIGINT NOT NULL DEFAULT 0,
  total_eligible BIGINT NOT NULL DEFAULT 0,
  total_downloads BIGINT NOT NULL DEFAULT 0,
  installs_success BIGINT NOT NULL DEFAULT 0,
  installs_failed BIGINT NOT NULL DEFAULT 0,
  verify_failed BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (rollout_id, build_id, hour_at)
);
INSERT INTO rollout_stat_hours
SELECT (SELECT max(id) FROM rollouts r WHERE r.build_id = h.build_id), h.build_id, h.hour_at, h.total_checks,
       h.total_eligible, h.total_downloads, h.installs_success, h.installs_failed, h.verify_failed
FROM deployment_stat_hours h WHERE EXISTS (SELECT 1 FROM rollouts r WHERE r.build_id = h.build_id);
CREATE INDEX rollout_stat_hours_build ON rollout_stat_hours (build_id);

-- Reasons by rollout and build; 0: told before the build had a rollout.
CREATE TABLE rollout_reasons (
  rollout_id BIGINT NOT NULL,
  build_id BIGINT NOT NULL REFERENCES builds (id),
  status TEXT COLLATE "C" NOT NULL,
  reason TEXT COLLATE "C" NOT NULL,
  reports BIGINT NOT NULL,
  last_at BIGINT NOT NULL,
  PRIMARY KEY (build_id, rollout_id, status, reason)
);
INSERT INTO rollout_reasons
SELECT coalesce((SELECT max(id) FROM rollouts r WHERE r.build_id = o.build_id), 0), o.build_id, o.status, o.reason,
       o.reports, o.last_at
FROM report_reasons o;
DROP TABLE report_reasons;

-- Servers that run on this database. Migrations wait for those that were seen lately to end.
CREATE TABLE servers (
  id TEXT COLLATE "C" PRIMARY KEY,
  version TEXT NOT NULL,
  started_at BIGINT NOT NULL,
  seen_at BIGINT NOT NULL
);
