-- Health gates. See 0001 for the conventions.

-- The terms of the rollout's gate, from when on it counts, and what it waits for; NULL: no gate.
ALTER TABLE rollouts ADD COLUMN gate_json TEXT;

-- The gate that is proposed for the package's releases; NULL: none.
ALTER TABLE packages ADD COLUMN gate_json TEXT;

-- What each gate's last look left: whoever asks reads it from here.
CREATE TABLE gates (
  rollout_id INTEGER PRIMARY KEY REFERENCES rollouts (id),
  looked_at INTEGER NOT NULL,
  -- What the next look goes on from: the bets of arms, the weights of steps, the times at which it was blind.
  state_json TEXT NOT NULL,
  -- What was judged.
  facts_json TEXT NOT NULL
) STRICT;
