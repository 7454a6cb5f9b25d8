DROP INDEX reports_troubles;
DROP INDEX device_builds_recovered;
DROP INDEX device_builds_given_up;
DROP INDEX device_builds_reason;
DROP TRIGGER devices_search_update ON devices;
DROP TRIGGER devices_search_insert ON devices;
DROP FUNCTION devices_search_keep();
-- The extension stays: others may use it.
DROP TABLE device_search;
