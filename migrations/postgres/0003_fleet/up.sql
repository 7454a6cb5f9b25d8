-- What the operator's page counts, and the orders in which it lists devices. See 0001 for the conventions, and
-- the SQLite file for what the columns mean.

ALTER TABLE device_packages ADD COLUMN cohort INTEGER CHECK (cohort BETWEEN 0 AND 99);
CREATE INDEX device_packages_unplaced ON device_packages (device_id) WHERE cohort IS NULL;
CREATE INDEX device_packages_cohort ON device_packages (package_id, version_code, cohort);

DROP INDEX device_packages_package;
CREATE INDEX device_packages_version ON device_packages (package_id, version_code, device_id);
DROP INDEX devices_alias_key;
CREATE INDEX devices_alias_key ON devices (alias_key, id);
CREATE INDEX devices_last_seen ON devices (last_seen_at, id);

CREATE INDEX device_builds_failing ON device_builds (build_id, device_id, failures) WHERE failures > 0;

CREATE TABLE version_hours (
  package_id BIGINT NOT NULL REFERENCES packages (id),
  hour_at BIGINT NOT NULL,
  version_code BIGINT NOT NULL CHECK (version_code >= 0),
  devices BIGINT NOT NULL,
  PRIMARY KEY (package_id, hour_at, version_code)
);
CREATE INDEX version_hours_hour ON version_hours (hour_at);

CREATE TABLE report_reasons (
  build_id BIGINT NOT NULL REFERENCES builds (id),
  status TEXT COLLATE "C" NOT NULL,
  reason TEXT COLLATE "C" NOT NULL,
  reports BIGINT NOT NULL,
  last_at BIGINT NOT NULL,
  PRIMARY KEY (build_id, status, reason)
);
INSERT INTO report_reasons (build_id, status, reason, reports, last_at)
SELECT build_id, status, COALESCE(reason, 'android_status ' || android_status, ''), COUNT(*), MAX(reported_at)
FROM reports
WHERE status IN ('verify_failed', 'install_failed', 'deferred')
GROUP BY 1, 2, 3;
