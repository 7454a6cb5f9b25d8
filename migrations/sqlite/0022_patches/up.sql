-- Patches from one build to another. See 0001 for the conventions.

CREATE TABLE patches (
  -- The build that it leads to, and the one that it is made from: both of one package.
  build_id INTEGER NOT NULL REFERENCES builds (id),
  base_id INTEGER NOT NULL REFERENCES builds (id),
  state TEXT NOT NULL CHECK (state IN ('wanted', 'making', 'made', 'too_large', 'failed')),
  -- Why it could not be made.
  reason TEXT,
  -- How many devices ran the base when it was looked last: the most worthwhile is made first.
  devices INTEGER NOT NULL,
  -- The file's, in the artifact store. A patch that is too large has a size and no file.
  size INTEGER,
  sha256 BLOB CHECK (length(sha256) = 32),
  wanted_at INTEGER NOT NULL,
  made_at INTEGER,
  took_ms INTEGER,
  attempts INTEGER NOT NULL DEFAULT 0,
  -- When a failed one is tried again; NULL: never.
  retry_at INTEGER,
  -- Who makes it, and how long without a word.
  holder TEXT,
  until_at INTEGER,
  -- Since when nobody has a use for it; NULL: somebody has.
  unwanted_at INTEGER,
  PRIMARY KEY (build_id, base_id),
  CHECK (build_id <> base_id),
  CHECK ((state = 'made') = (sha256 IS NOT NULL)),
  CHECK ((state = 'making') = (holder IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX patches_base ON patches (base_id);

-- What devices said of patches that a rollout offered them. The first word of an attempt counts.
CREATE TABLE device_patches (
  device_id INTEGER NOT NULL REFERENCES devices (id),
  rollout_id INTEGER NOT NULL REFERENCES rollouts (id),
  build_id INTEGER NOT NULL REFERENCES builds (id),
  -- The attempt that was spoken of last, and what was said; NULL: nothing yet.
  retry_generation INTEGER,
  outcome TEXT,
  -- How large the patch was that it was sent last; NULL: none.
  size INTEGER,
  PRIMARY KEY (device_id, rollout_id, build_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX device_patches_rollout ON device_patches (rollout_id);
CREATE INDEX device_patches_build ON device_patches (build_id);

-- The same, counted.
CREATE TABLE patch_stats (
  rollout_id INTEGER NOT NULL REFERENCES rollouts (id),
  build_id INTEGER NOT NULL REFERENCES builds (id),
  applied INTEGER NOT NULL DEFAULT 0,
  base_differs INTEGER NOT NULL DEFAULT 0,
  download_failed INTEGER NOT NULL DEFAULT 0,
  damaged INTEGER NOT NULL DEFAULT 0,
  no_space INTEGER NOT NULL DEFAULT 0,
  apply_failed INTEGER NOT NULL DEFAULT 0,
  bytes_saved INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (rollout_id, build_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX patch_stats_build ON patch_stats (build_id);

INSERT INTO epochs (name, value) VALUES ('patches', 0);
