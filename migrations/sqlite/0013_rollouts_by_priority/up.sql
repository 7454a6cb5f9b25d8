-- Rollouts above the base, slices, shares of hundredths of a percent, and builds that devices must take in between. See
-- 0001 for the conventions.

-- A state and a bound change within checks of the table. SQLite changes no check in place, and to make the table anew
-- would need all tables that refer to it made anew: what is stored of its definition is rewritten, which
-- https://www.sqlite.org/lang_altertable.html#otheralter allows for checks.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema
SET sql = replace(replace(replace(sql,
  '''halted'', ''superseded'', ''rolled_back''))',
  '''halted'', ''superseded'', ''rolled_back'', ''canceled''))'),
  'NOT IN (''superseded'', ''rolled_back'')',
  'NOT IN (''superseded'', ''rolled_back'', ''canceled'')'),
  'percent BETWEEN 0 AND 100)',
  'percent BETWEEN 0 AND 10000)')
WHERE type = 'table' AND name = 'rollouts';
PRAGMA writable_schema = RESET;

ALTER TABLE rollouts RENAME COLUMN percent TO percent_hundredths;
UPDATE rollouts SET percent_hundredths = percent_hundredths * 100;
ALTER TABLE rollouts ADD COLUMN name TEXT NOT NULL DEFAULT '';
-- 0: a base.
ALTER TABLE rollouts ADD COLUMN priority INTEGER NOT NULL DEFAULT 0 CHECK (priority >= 0);
ALTER TABLE rollouts ADD COLUMN revision INTEGER NOT NULL DEFAULT 1 CHECK (revision >= 1);
-- In hundred-millionths of the fleet.
ALTER TABLE rollouts ADD COLUMN slice_start INTEGER NOT NULL DEFAULT 0 CHECK (slice_start BETWEEN 0 AND 99999999);
ALTER TABLE rollouts ADD COLUMN slice_width INTEGER NOT NULL DEFAULT 100000000
  CHECK (slice_width BETWEEN 1 AND 100000000);

-- Where the package's next automatic slice begins.
ALTER TABLE packages ADD COLUMN next_slice_start INTEGER NOT NULL DEFAULT 0
  CHECK (next_slice_start BETWEEN 0 AND 99999999);

-- Devices below a barrier must take it before anything above.
ALTER TABLE builds ADD COLUMN barrier INTEGER NOT NULL DEFAULT 0 CHECK (barrier IN (0, 1));
-- Devices below this version can't take the build; NULL: all can.
ALTER TABLE builds ADD COLUMN min_from_version INTEGER;
CREATE INDEX builds_barrier ON builds (package_id) WHERE barrier;
