-- Earlier versions know bases only. What was canceled, and what serves above the base, ends as if it had been replaced.
UPDATE rollouts SET state = 'superseded', serving = 0
WHERE state = 'canceled' OR (priority > 0 AND serving);

DROP INDEX builds_barrier;
ALTER TABLE builds DROP COLUMN min_from_version;
ALTER TABLE builds DROP COLUMN barrier;
ALTER TABLE packages DROP COLUMN next_slice_start;
ALTER TABLE rollouts DROP COLUMN slice_width;
ALTER TABLE rollouts DROP COLUMN slice_start;
ALTER TABLE rollouts DROP COLUMN revision;
ALTER TABLE rollouts DROP COLUMN priority;
ALTER TABLE rollouts DROP COLUMN name;
-- Rounded up, so that nobody who was offered the build is outside of the share.
UPDATE rollouts SET percent_hundredths = (percent_hundredths + 99) / 100;
ALTER TABLE rollouts RENAME COLUMN percent_hundredths TO percent;

PRAGMA writable_schema = ON;
UPDATE sqlite_schema
SET sql = replace(replace(replace(sql,
  '''rolled_back'', ''canceled''))',
  '''rolled_back''))'),
  'NOT IN (''superseded'', ''rolled_back'', ''canceled'')',
  'NOT IN (''superseded'', ''rolled_back'')'),
  'percent BETWEEN 0 AND 10000)',
  'percent BETWEEN 0 AND 100)')
WHERE type = 'table' AND name = 'rollouts';
PRAGMA writable_schema = RESET;
