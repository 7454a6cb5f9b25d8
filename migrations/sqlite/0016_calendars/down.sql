-- Earlier versions know no windows, so what waits for them is paused.
UPDATE rollouts SET state = 'paused', revision = revision + 1
WHERE state IN ('active', 'completed') AND (download_calendar IS NOT NULL OR install_calendar IS NOT NULL);

ALTER TABLE rollouts DROP COLUMN ignore_freeze;
ALTER TABLE rollouts DROP COLUMN install_calendar;
ALTER TABLE rollouts DROP COLUMN download_calendar;
DROP TABLE calendars;
