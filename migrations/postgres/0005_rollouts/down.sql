DROP TABLE servers;

CREATE TABLE report_reasons (
  build_id BIGINT NOT NULL REFERENCES builds (id),
  status TEXT COLLATE "C" NOT NULL,
  reason TEXT COLLATE "C" NOT NULL,
  reports BIGINT NOT NULL,
  last_at BIGINT NOT NULL,
  PRIMARY KEY (build_id, status, reason)
);
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

ALTER TABLE rollouts ADD COLUMN force_downgrade BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE rollouts SET force_downgrade = TRUE WHERE takes_back_version IS NOT NULL;
ALTER TABLE rollouts DROP COLUMN takes_back_version;

ALTER TABLE device_builds RENAME COLUMN rejected_generation TO rejected_attempt;
ALTER TABLE device_builds RENAME COLUMN failure_generation TO failure_attempt;
ALTER TABLE reports RENAME COLUMN retry_generation TO attempt;
ALTER TABLE rollouts RENAME COLUMN retry_generation TO attempt;
