-- Earlier versions know bases only. What was canceled, and what serves above the base, ends as if it had been replaced.
UPDATE rollouts SET state = 'superseded', serving = FALSE
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
ALTER TABLE rollouts DROP CONSTRAINT rollouts_percent_check;
UPDATE rollouts SET percent_hundredths = (percent_hundredths + 99) / 100;
ALTER TABLE rollouts RENAME COLUMN percent_hundredths TO percent;
ALTER TABLE rollouts ADD CONSTRAINT rollouts_percent_check CHECK (percent BETWEEN 0 AND 100);
ALTER TABLE rollouts DROP CONSTRAINT rollouts_check;
ALTER TABLE rollouts ADD CONSTRAINT rollouts_check CHECK (serving = (state NOT IN ('superseded', 'rolled_back')));
ALTER TABLE rollouts DROP CONSTRAINT rollouts_state_check;
ALTER TABLE rollouts ADD CONSTRAINT rollouts_state_check CHECK (state IN (
  'scheduled', 'active', 'paused', 'completed', 'halted', 'superseded', 'rolled_back'));
