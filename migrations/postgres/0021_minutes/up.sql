-- What charts are drawn from: the last day by the minute, and what gates have read. See 0001 for the conventions.

-- How many devices ran each version in each minute of the last 25 hours: the last census of the minute. Version 0 is all
-- versions that were too rare to be kept apart.
CREATE TABLE version_minutes (
  package_id BIGINT NOT NULL REFERENCES packages (id),
  minute_at BIGINT NOT NULL,
  version_code BIGINT NOT NULL CHECK (version_code >= 0),
  devices BIGINT NOT NULL,
  PRIMARY KEY (package_id, minute_at, version_code)
);
CREATE INDEX version_minutes_minute ON version_minutes (minute_at);

-- How the counts of builds that serve stood in each minute of the last 25 hours.
CREATE TABLE build_minutes (
  build_id BIGINT NOT NULL REFERENCES builds (id),
  minute_at BIGINT NOT NULL,
  eligible BIGINT NOT NULL,
  downloads BIGINT NOT NULL,
  installed BIGINT NOT NULL,
  PRIMARY KEY (build_id, minute_at)
);
CREATE INDEX build_minutes_minute ON build_minutes (minute_at);

-- What the gate of a rollout read, at most one reading a minute and 500 in all: e-values as thousandths of their natural
-- logarithm. NULL: not measured.
CREATE TABLE gate_readings (
  rollout_id BIGINT NOT NULL REFERENCES rollouts (id),
  minute_at BIGINT NOT NULL,
  failed BIGINT NOT NULL,
  corrupt BIGINT NOT NULL,
  lost BIGINT,
  crashing BIGINT,
  good BIGINT,
  PRIMARY KEY (rollout_id, minute_at)
);
CREATE INDEX gate_readings_minute ON gate_readings (minute_at);
