-- Rollouts above the base, slices, shares of hundredths of a percent, and builds that devices must take in between. See
-- 0001 for the conventions.

ALTER TABLE rollouts DROP CONSTRAINT rollouts_state_check;
ALTER TABLE rollouts ADD CONSTRAINT rollouts_state_check CHECK (state IN (
  'scheduled', 'active', 'paused', 'completed', 'halted', 'superseded', 'rolled_back', 'canceled'));
ALTER TABLE rollouts DROP CONSTRAINT rollouts_check;
ALTER TABLE rollouts ADD CONSTRAINT rollouts_check
  CHECK (serving = (state NOT IN ('superseded', 'rolled_back', 'canceled')));
ALTER TABLE rollouts DROP CONSTRAINT rollouts_percent_check;
ALTER TABLE rollouts RENAME COLUMN percent TO percent_hundredths;
UPDATE rollouts SET percent_hundredths = percent_hundredths * 100;
ALTER TABLE rollouts ADD CONSTRAINT rollouts_percent_check CHECK (percent_hundredths BETWEEN 0 AND 10000);
ALTER TABLE rollouts ADD COLUMN name TEXT NOT NULL DEFAULT '';
-- 0: a base.
ALTER TABLE rollouts ADD COLUMN priority BIGINT NOT NULL DEFAULT 0 CHECK (priority >= 0);
ALTER TABLE rollouts ADD COLUMN revision BIGINT NOT NULL DEFAULT 1 CHECK (revision >= 1);
-- In hundred-millionths of the fleet.
ALTER TABLE rollouts ADD COLUMN slice_start BIGINT NOT NULL DEFAULT 0 CHECK (slice_start BETWEEN 0 AND 99999999);
ALTER TABLE rollouts ADD COLUMN slice_width BIGINT NOT NULL DEFAULT 100000000
  CHECK (slice_width BETWEEN 1 AND 100000000);

-- Where the package's next automatic slice begins.
ALTER TABLE packages ADD COLUMN next_slice_start BIGINT NOT NULL DEFAULT 0
  CHECK (next_slice_start BETWEEN 0 AND 99999999);

-- Devices below a barrier must take it before anything above.
ALTER TABLE builds ADD COLUMN barrier BOOLEAN NOT NULL DEFAULT FALSE;
-- Devices below this version can't take the build; NULL: all can.
ALTER TABLE builds ADD COLUMN min_from_version BIGINT;
CREATE INDEX builds_barrier ON builds (package_id) WHERE barrier;
