-- With the version beside what was told, one reading of this index counts the fleet by condition, and finds the devices of
-- each.
DROP INDEX device_packages_standing;
CREATE INDEX device_packages_standing ON device_packages (package_id, standing, version_code, device_id, counted) WHERE counted;
