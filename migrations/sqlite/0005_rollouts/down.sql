DROP TABLE servers;

CREATE TABLE report_reasons (
  build_id INTEGER NOT NULL REFERENCES builds (id),
  status TEXT NOT NULL,
  reason TEXT NOT NULL,
  reports INTEGER NOT NULL,
  last_at INTEGER NOT NULL,
  PRIMARY KEY (build_id, status, reason)
) STRICT, WITHOUT ROWID;
INSERT INTO report_reasons
SELECT build_id, status, reason, sum(reports), max(last_at) FROM rollout_reasons GROUP BY build_id, status, reason;
DROP TABLE rollout_reasons;

DROP TABLE rollout_stat_hours;
DROP TABLE rollout_stats;
ALTER TABLE deployment_stats DROP COLUMN last_updated_at;
DROP TABLE device_rollouts;

DROP INDEX device_builds_offered_rollout;
DROP INDEX device_builds_rejection_epoch;
ALTER TABLE device_builds DROP COLUMN rejection_epoch;
ALTER TABLE device_builds DROP COLUMN offered_rollout_id;

DROP INDEX device_packages_standing;
ALTER TABLE device_packages DROP COLUMN crashes;
ALTER TABLE device_packages DROP COLUMN standing;

DROP INDEX devices_token_epoch;
ALTER TABLE devices DROP COLUMN token_epoch;
ALTER TABLE devices DROP COLUMN polled_json;

ALTER TABLE rollouts ADD COLUMN force_downgrade INTEGER NOT NULL DEFAULT 0 CHECK (force_downgrade IN (0, 1));
UPDATE rollouts SET force_downgrade = 1 WHERE takes_back_version IS NOT NULL;
ALTER TABLE rollouts DROP COLUMN takes_back_version;

ALTER TABLE device_builds RENAME COLUMN rejected_generation TO rejected_attempt;
ALTER TABLE device_builds RENAME COLUMN failure_generation TO failure_attempt;
ALTER TABLE reports RENAME COLUMN retry_generation TO attempt;
ALTER TABLE rollouts RENAME COLUMN retry_generation TO attempt;
