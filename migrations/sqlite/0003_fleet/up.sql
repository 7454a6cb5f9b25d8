-- What the operator's page counts, and the orders in which it lists devices. See 0001 for the conventions.

-- The device's unsalted cohort, 0 to 99, so that "how many devices would this share take" is read off an index.
-- NULL: written before there was this column; servers fill it in, a batch at a time.
ALTER TABLE device_packages ADD COLUMN cohort INTEGER CHECK (cohort BETWEEN 0 AND 99);
CREATE INDEX device_packages_unplaced ON device_packages (device_id) WHERE cohort IS NULL;
CREATE INDEX device_packages_cohort ON device_packages (package_id, version_code, cohort);

-- Lists begin behind a row, so each order ends with the row's number.
DROP INDEX device_packages_package;
CREATE INDEX device_packages_version ON device_packages (package_id, version_code, device_id);
DROP INDEX devices_alias_key;
CREATE INDEX devices_alias_key ON devices (alias_key, id);
CREATE INDEX devices_last_seen ON devices (last_seen_at, id);

-- Devices that failed with a build and have not succeeded since.
CREATE INDEX device_builds_failing ON device_builds (build_id, device_id, failures) WHERE failures > 0;

-- How many devices ran each version in each hour: the last census of the hour. Version 0 is all versions that
-- were too rare to be kept apart.
CREATE TABLE version_hours (
  package_id INTEGER NOT NULL REFERENCES packages (id),
  hour_at INTEGER NOT NULL,
  version_code INTEGER NOT NULL CHECK (version_code >= 0),
  devices INTEGER NOT NULL,
  PRIMARY KEY (package_id, hour_at, version_code)
) STRICT, WITHOUT ROWID;
CREATE INDEX version_hours_hour ON version_hours (hour_at);

-- Reports of each kind and reason, counted as they are written. Reasons beyond the bound end in one, ''.
CREATE TABLE report_reasons (
  build_id INTEGER NOT NULL REFERENCES builds (id),
  status TEXT NOT NULL,
  reason TEXT NOT NULL,
  reports INTEGER NOT NULL,
  last_at INTEGER NOT NULL,
  PRIMARY KEY (build_id, status, reason)
) STRICT, WITHOUT ROWID;
INSERT INTO report_reasons (build_id, status, reason, reports, last_at)
SELECT build_id, status, COALESCE(reason, 'android_status ' || android_status, ''), COUNT(*), MAX(reported_at)
FROM reports
WHERE status IN ('verify_failed', 'install_failed', 'deferred')
GROUP BY 1, 2, 3;
