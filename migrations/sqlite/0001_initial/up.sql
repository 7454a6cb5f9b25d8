-- Conventions, the same on both engines:
--   *_at      unix microseconds, UTC
--   *_json    JSON as text
--   booleans  0 or 1
-- Names that devices, operators and agents know (package, device, user) stand in a UNIQUE text column; every
-- other table refers to the row's number.

CREATE TABLE packages (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  -- The signer ranges that every build must carry; NULL: the next build decides.
  signers_json TEXT,
  allow_debuggable INTEGER NOT NULL DEFAULT 0 CHECK (allow_debuggable IN (0, 1)),
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE builds (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  package_id INTEGER NOT NULL REFERENCES packages (id),
  version_code INTEGER NOT NULL CHECK (version_code >= 0),
  version_name TEXT NOT NULL,
  sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
  size INTEGER NOT NULL CHECK (size >= 0),
  schemes_json TEXT NOT NULL,
  lineage_json TEXT NOT NULL,
  warnings_json TEXT NOT NULL,
  min_sdk INTEGER NOT NULL,
  target_sdk INTEGER NOT NULL,
  abis_json TEXT NOT NULL,
  debuggable INTEGER NOT NULL CHECK (debuggable IN (0, 1)),
  notes TEXT NOT NULL,
  build_type TEXT NOT NULL,
  ci_run_id TEXT NOT NULL,
  git_sha TEXT NOT NULL,
  uploaded_by TEXT NOT NULL,
  uploaded_at INTEGER NOT NULL,
  UNIQUE (package_id, version_code),
  -- What a rollout refers to, so that it cannot offer another package's build.
  UNIQUE (id, package_id)
) STRICT;
CREATE INDEX builds_sha256 ON builds (sha256);

CREATE TABLE build_signers (
  build_id INTEGER NOT NULL REFERENCES builds (id),
  from_sdk INTEGER NOT NULL,
  to_sdk INTEGER NOT NULL,
  fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
  PRIMARY KEY (build_id, from_sdk),
  CHECK (from_sdk <= to_sdk)
) STRICT, WITHOUT ROWID;

CREATE TABLE rollouts (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  package_id INTEGER NOT NULL REFERENCES packages (id),
  build_id INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN (
    'scheduled', 'active', 'paused', 'completed', 'halted', 'superseded', 'rolled_back')),
  is_current INTEGER NOT NULL CHECK (is_current IN (0, 1)),
  serving INTEGER NOT NULL,
  percent INTEGER NOT NULL CHECK (percent BETWEEN 0 AND 100),
  salt TEXT,
  audience_json TEXT NOT NULL,
  wifi_only INTEGER NOT NULL CHECK (wifi_only IN (0, 1)),
  must_install INTEGER NOT NULL CHECK (must_install IN (0, 1)),
  force_downgrade INTEGER NOT NULL CHECK (force_downgrade IN (0, 1)),
  attempt INTEGER NOT NULL CHECK (attempt >= 1),
  previous_id INTEGER REFERENCES rollouts (id),
  rolled_back_from INTEGER REFERENCES builds (id),
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  FOREIGN KEY (build_id, package_id) REFERENCES builds (id, package_id),
  CHECK (serving = (state NOT IN ('superseded', 'rolled_back'))),
  CHECK (serving OR NOT is_current)
) STRICT;
CREATE UNIQUE INDEX rollouts_one_current ON rollouts (package_id) WHERE is_current;
CREATE INDEX rollouts_package_serving ON rollouts (package_id, serving);
CREATE INDEX rollouts_build ON rollouts (build_id, package_id);
CREATE INDEX rollouts_previous ON rollouts (previous_id);
CREATE INDEX rollouts_rolled_back_from ON rollouts (rolled_back_from);

CREATE TABLE deployment_stats (
  build_id INTEGER PRIMARY KEY REFERENCES builds (id),
  total_checks INTEGER NOT NULL DEFAULT 0,
  total_eligible INTEGER NOT NULL DEFAULT 0,
  total_downloads INTEGER NOT NULL DEFAULT 0,
  installs_success INTEGER NOT NULL DEFAULT 0,
  installs_failed INTEGER NOT NULL DEFAULT 0,
  verify_failed INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE deployment_stat_hours (
  build_id INTEGER NOT NULL REFERENCES builds (id),
  hour_at INTEGER NOT NULL,
  total_checks INTEGER NOT NULL DEFAULT 0,
  total_eligible INTEGER NOT NULL DEFAULT 0,
  total_downloads INTEGER NOT NULL DEFAULT 0,
  installs_success INTEGER NOT NULL DEFAULT 0,
  installs_failed INTEGER NOT NULL DEFAULT 0,
  verify_failed INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (build_id, hour_at)
) STRICT, WITHOUT ROWID;

CREATE TABLE devices (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  alias TEXT,
  -- The alias in lower case, for searching.
  alias_key TEXT,
  model TEXT,
  manufacturer TEXT,
  sdk INTEGER,
  android_version TEXT,
  region TEXT,
  tags_json TEXT NOT NULL,
  fcm_token TEXT,
  fcm_token_at INTEGER,
  token_generation INTEGER NOT NULL DEFAULT 1 CHECK (token_generation >= 1),
  enrolled_at INTEGER NOT NULL,
  last_seen_at INTEGER
) STRICT;
CREATE INDEX devices_alias_key ON devices (alias_key);
CREATE INDEX devices_revoked ON devices (token_generation) WHERE token_generation > 1;

CREATE TABLE device_packages (
  device_id INTEGER NOT NULL REFERENCES devices (id),
  package_id INTEGER NOT NULL REFERENCES packages (id),
  -- 0: the device said that it is not installed.
  version_code INTEGER NOT NULL CHECK (version_code >= 0),
  seen_at INTEGER NOT NULL,
  PRIMARY KEY (device_id, package_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX device_packages_package ON device_packages (package_id, version_code);

CREATE TABLE device_builds (
  device_id INTEGER NOT NULL REFERENCES devices (id),
  build_id INTEGER NOT NULL REFERENCES builds (id),
  -- The first time of each; NULL: never. Each is counted once in the statistics.
  offered_at INTEGER,
  downloaded_at INTEGER,
  verify_failed_at INTEGER,
  install_failed_at INTEGER,
  installed_at INTEGER,
  -- Failures since the last success, of the highest attempt that failed.
  failure_attempt INTEGER NOT NULL DEFAULT 0,
  failures INTEGER NOT NULL DEFAULT 0,
  -- How many rows of `reports` there are.
  reports INTEGER NOT NULL DEFAULT 0,
  last_status TEXT,
  last_reason TEXT,
  last_at INTEGER,
  -- The device is not to be offered the build up to this attempt, until then or (NULL) for good.
  rejected_attempt INTEGER,
  rejected_until_at INTEGER,
  PRIMARY KEY (device_id, build_id),
  CHECK (rejected_attempt IS NOT NULL OR rejected_until_at IS NULL)
) STRICT, WITHOUT ROWID;
CREATE INDEX device_builds_build ON device_builds (build_id);
CREATE INDEX device_builds_rejected ON device_builds (build_id) WHERE rejected_attempt IS NOT NULL;

CREATE TABLE reports (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  device_id INTEGER NOT NULL REFERENCES devices (id),
  build_id INTEGER NOT NULL REFERENCES builds (id),
  status TEXT NOT NULL CHECK (status IN (
    'downloaded', 'verify_failed', 'install_success', 'install_failed', 'deferred')),
  attempt INTEGER NOT NULL,
  -- '' when the device gave none: NULLs would not be equal to each other.
  request_id TEXT NOT NULL,
  reason TEXT,
  android_status INTEGER,
  message TEXT,
  reported_at INTEGER NOT NULL,
  UNIQUE (device_id, build_id, status, attempt, request_id)
) STRICT;
CREATE INDEX reports_build ON reports (build_id);

CREATE TABLE enroll_tokens (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
  uses INTEGER NOT NULL CHECK (uses >= 1),
  used INTEGER NOT NULL DEFAULT 0,
  expires_at INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  note TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  CHECK (used BETWEEN 0 AND uses)
) STRICT;

CREATE TABLE enroll_token_uses (
  token_id INTEGER NOT NULL REFERENCES enroll_tokens (id),
  device_id INTEGER NOT NULL REFERENCES devices (id),
  used_at INTEGER NOT NULL,
  -- The generation of device tokens that the device was given: one revoked since is not given again.
  generation INTEGER NOT NULL,
  PRIMARY KEY (token_id, device_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX enroll_token_uses_device ON enroll_token_uses (device_id);

CREATE TABLE users (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  role TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
  password_hash TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE audit_log (
  -- 1, 2, 3, … without gaps: assigned by the writer that holds the chain's lock.
  seq INTEGER PRIMARY KEY CHECK (seq >= 1),
  -- UNIQUE: no two entries follow the same one, so the chain cannot fork.
  prev_hash BLOB NOT NULL UNIQUE CHECK (length(prev_hash) = 32),
  hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
  at INTEGER NOT NULL,
  actor TEXT NOT NULL,
  role TEXT NOT NULL,
  action TEXT NOT NULL,
  target TEXT NOT NULL,
  before_json TEXT,
  after_json TEXT,
  request_id TEXT
) STRICT;
CREATE INDEX audit_log_at ON audit_log (at);
CREATE INDEX audit_log_actor ON audit_log (actor, seq);
CREATE INDEX audit_log_action ON audit_log (action, seq);
CREATE INDEX audit_log_target ON audit_log (target, seq);

CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log
BEGIN
  SELECT RAISE(ABORT, 'audit_log is append-only');
END;
CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
BEGIN
  SELECT RAISE(ABORT, 'audit_log is append-only');
END;
-- INSERT OR REPLACE deletes without asking the trigger above.
CREATE TRIGGER audit_log_no_replace BEFORE INSERT ON audit_log
WHEN EXISTS (
  SELECT 1 FROM audit_log WHERE seq = NEW.seq OR prev_hash = NEW.prev_hash OR hash = NEW.hash)
BEGIN
  SELECT RAISE(ABORT, 'audit_log is append-only');
END;

-- One number for each thing that every replica keeps in memory: it rises when the thing changes.
CREATE TABLE epochs (
  name TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO epochs (name, value) VALUES ('catalog', 0), ('tokens', 0), ('rejections', 0);
