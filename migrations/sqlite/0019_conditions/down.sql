DROP INDEX device_packages_standing;
CREATE INDEX device_packages_standing ON device_packages (package_id, standing, device_id, counted) WHERE counted;
