-- Experiments: builds tried side by side, each by a rollout on a slice of its own. See 0001 for the conventions.

CREATE TABLE experiments (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  package_id INTEGER NOT NULL REFERENCES packages (id),
  name TEXT NOT NULL,
  priority INTEGER NOT NULL CHECK (priority > 0),
  audience_json TEXT NOT NULL,
  salt TEXT,
  -- In hundred-millionths of the fleet, as those of rollouts.
  slice_start INTEGER NOT NULL CHECK (slice_start BETWEEN 0 AND 99999999),
  -- Both NULL: nothing is held out.
  holdout_start INTEGER CHECK (holdout_start BETWEEN 0 AND 99999999),
  holdout_width INTEGER CHECK (holdout_width BETWEEN 1 AND 100000000),
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  -- Both NULL: it runs.
  concluded_by TEXT,
  concluded_at INTEGER,
  -- Both NULL: its arms were only ended.
  winner_build_id INTEGER REFERENCES builds (id),
  winner_percent_hundredths INTEGER CHECK (winner_percent_hundredths BETWEEN 1 AND 10000),
  CHECK ((holdout_start IS NULL) = (holdout_width IS NULL)),
  CHECK ((concluded_by IS NULL) = (concluded_at IS NULL)),
  CHECK ((winner_build_id IS NULL) = (winner_percent_hundredths IS NULL)),
  CHECK (winner_build_id IS NULL OR concluded_at IS NOT NULL)
) STRICT;
CREATE INDEX experiments_package ON experiments (package_id, id);
CREATE INDEX experiments_winner ON experiments (winner_build_id);

-- The experiment that the rollout is an arm of.
ALTER TABLE rollouts ADD COLUMN experiment_id INTEGER REFERENCES experiments (id);
CREATE INDEX rollouts_experiment ON rollouts (experiment_id, id);
