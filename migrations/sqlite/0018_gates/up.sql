-- Health gates. See 0001 for the conventions.

-- The terms of the rollout's gate, from when on it counts, and what it waits for; NULL: no gate.
ALTER TABLE rollouts ADD COLUMN gate_json TEXT;
-- Why it happened, in words.
ALTER TABLE rollout_events ADD COLUMN remark TEXT;

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

-- How the device fares, for the rollout's gate: the segment and the step that first offered it the build. NULL: it was
-- first offered it while the rollout had no gate.
ALTER TABLE device_rollouts ADD COLUMN gate_segment INTEGER;
ALTER TABLE device_rollouts ADD COLUMN gate_step INTEGER;
-- When the server had sent it the file's first byte, and the last, or a redirect to them.
ALTER TABLE device_rollouts ADD COLUMN begun_at INTEGER;
ALTER TABLE device_rollouts ADD COLUMN sent_at INTEGER;
-- When it gave the build up, or was back on an older version.
ALTER TABLE device_rollouts ADD COLUMN failed_at INTEGER;
-- Its last failure and its last success; the first of each are among the milestones.
ALTER TABLE device_rollouts ADD COLUMN troubled_at INTEGER;
ALTER TABLE device_rollouts ADD COLUMN succeeded_at INTEGER;
-- When a poll after its first success told the version.
ALTER TABLE device_rollouts ADD COLUMN confirmed_at INTEGER;
-- Whose polls may tell something new: by rollout, so that those of the past are never met.
CREATE INDEX device_rollouts_unconfirmed ON device_rollouts (rollout_id, device_id, installed_at)
WHERE gate_segment IS NOT NULL AND installed_at IS NOT NULL AND confirmed_at IS NULL;
CREATE INDEX device_rollouts_unfailed ON device_rollouts (rollout_id, device_id, installed_at)
WHERE gate_segment IS NOT NULL AND installed_at IS NOT NULL AND failed_at IS NULL;
CREATE INDEX rollouts_gated ON rollouts (package_id) WHERE gate_json IS NOT NULL;

-- The outcomes of each step's devices, summed up as they come in.
CREATE TABLE gate_counts (
  rollout_id INTEGER NOT NULL REFERENCES rollouts (id),
  segment INTEGER NOT NULL,
  step INTEGER NOT NULL,
  reached INTEGER NOT NULL,
  begun INTEGER NOT NULL,
  sent INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  corrupt INTEGER NOT NULL,
  in_trouble INTEGER NOT NULL,
  confirmed INTEGER NOT NULL,
  -- How many treated devices entered its arm.
  watched INTEGER NOT NULL,
  PRIMARY KEY (rollout_id, segment, step)
) STRICT, WITHOUT ROWID;

-- The devices that a gate watches for silence and crashes, in one arm of one rollout each.
CREATE TABLE gate_members (
  rollout_id INTEGER NOT NULL REFERENCES rollouts (id),
  device_id INTEGER NOT NULL REFERENCES devices (id),
  treated INTEGER NOT NULL CHECK (treated IN (0, 1)),
  segment INTEGER NOT NULL,
  step INTEGER NOT NULL,
  entered_at INTEGER NOT NULL,
  -- Whether a nudge was sent to it in the hour before.
  nudged INTEGER NOT NULL CHECK (nudged IN (0, 1)),
  -- Whether its agent polls every half hour when asked to.
  dense INTEGER NOT NULL CHECK (dense IN (0, 1)),
  -- The share, in hundred-millionths, at which the rollout takes it.
  takes_at INTEGER NOT NULL,
  -- How often the package had crashed; NULL: its agent doesn't tell.
  crashes INTEGER,
  -- When a report or a download was last heard of, or at its last look a poll. Polls stand with the device.
  heard_at INTEGER NOT NULL,
  -- When its silence is to be looked at; NULL: no more.
  lost_due_at INTEGER,
  -- When its silence of each length was found, which counts once.
  lost_short_at INTEGER,
  lost_long_at INTEGER,
  -- When it told more crashes than at its entry, and whether that was counted.
  crashed_at INTEGER,
  crash_counted INTEGER NOT NULL CHECK (crash_counted IN (0, 1)),
  PRIMARY KEY (rollout_id, device_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX gate_members_device ON gate_members (device_id);
CREATE INDEX gate_members_entered ON gate_members (rollout_id, treated, entered_at);
CREATE INDEX gate_members_due ON gate_members (rollout_id, lost_due_at) WHERE lost_due_at IS NOT NULL;
CREATE INDEX gate_members_crashed ON gate_members (rollout_id, crashed_at) WHERE crashed_at IS NOT NULL AND NOT crash_counted;
