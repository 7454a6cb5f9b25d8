-- Patches from one build to another. See 0001 for the conventions.

CREATE TABLE patches (
  -- The build that it leads to, and the one that it is made from: both of one package.
  build_id BIGINT NOT NULL REFERENCES builds (id),
  base_id BIGINT NOT NULL REFERENCES builds (id),
  state TEXT NOT NULL CHECK (state IN ('wanted', 'making', 'made', 'too_large', 'failed')),
  -- Why it could not be made.
  reason TEXT,
  -- How many devices ran the base when it was looked last: the most worthwhile is made first.
  devices BIGINT NOT NULL,
  -- The file's, in the artifact store. A patch that is too large has a size and no file.
  size BIGINT,
  sha256 BYTEA CHECK (octet_length(sha256) = 32),
  wanted_at BIGINT NOT NULL,
  made_at BIGINT,
  took_ms BIGINT,
  attempts BIGINT NOT NULL DEFAULT 0,
  -- When a failed one is tried again; NULL: never.
  retry_at BIGINT,
  -- Who makes it, and how long without a word.
  holder TEXT,
  until_at BIGINT,
  -- Since when nobody has a use for it; NULL: somebody has.
  unwanted_at BIGINT,
  PRIMARY KEY (build_id, base_id),
  CHECK (build_id <> base_id),
  CHECK ((state = 'made') = (sha256 IS NOT NULL)),
  CHECK ((state = 'making') = (holder IS NOT NULL))
);
CREATE INDEX patches_base ON patches (base_id);

-- What devices said of patches that a rollout offered them. The first word of an attempt counts.
CREATE TABLE device_patches (
  device_id BIGINT NOT NULL REFERENCES devices (id),
  rollout_id BIGINT NOT NULL REFERENCES rollouts (id),
  build_id BIGINT NOT NULL REFERENCES builds (id),
  -- The attempt that was spoken of last, and what was said; NULL: nothing yet.
  retry_generation BIGINT,
  outcome TEXT,
  -- How large the patch was that it was sent last; NULL: none.
  size BIGINT,
  PRIMARY KEY (device_id, rollout_id, build_id)
);
CREATE INDEX device_patches_rollout ON device_patches (rollout_id);
CREATE INDEX device_patches_build ON device_patches (build_id);

-- The same, counted.
CREATE TABLE patch_stats (
  rollout_id BIGINT NOT NULL REFERENCES rollouts (id),
  build_id BIGINT NOT NULL REFERENCES builds (id),
  applied BIGINT NOT NULL DEFAULT 0,
  base_differs BIGINT NOT NULL DEFAULT 0,
  download_failed BIGINT NOT NULL DEFAULT 0,
  damaged BIGINT NOT NULL DEFAULT 0,
  no_space BIGINT NOT NULL DEFAULT 0,
  apply_failed BIGINT NOT NULL DEFAULT 0,
  bytes_saved BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (rollout_id, build_id)
);
CREATE INDEX patch_stats_build ON patch_stats (build_id);

INSERT INTO epochs (name, value) VALUES ('patches', 0);
