-- Enrolments that their device alone can repeat, and devices that come from another server. See 0001 for the conventions.

-- The generation of device tokens that the last enrolment gave; 0 for a device that was imported and has not enrolled
-- here yet. One that is lower than token_generation was revoked since.
ALTER TABLE devices ADD COLUMN enrolled_generation INTEGER NOT NULL DEFAULT 1;
-- The generation for which its command keys are derived; 0: derived for the device alone, as before there was this column.
ALTER TABLE devices ADD COLUMN command_generation INTEGER NOT NULL DEFAULT 0;
-- SHA-256 of the key that the last enrolment brought; NULL: it brought none.
ALTER TABLE devices ADD COLUMN enrollment_key_hash BLOB
  CHECK (enrollment_key_hash IS NULL OR length(enrollment_key_hash) = 32);
-- The first use of the token that the last enrolment gave, to about a second; NULL: none yet.
ALTER TABLE devices ADD COLUMN token_used_at INTEGER;
-- Until when an enrolment may take the id over, once; NULL: nobody allowed it.
ALTER TABLE devices ADD COLUMN enrolment_allowed_until_at INTEGER;
-- When a refused enrolment of this id stood in the audit log last.
ALTER TABLE devices ADD COLUMN refusal_noted_at INTEGER;
-- When a token of an earlier enrolment was last shown; NULL: not since the last enrolment.
ALTER TABLE devices ADD COLUMN duplicate_seen_at INTEGER;
UPDATE devices
SET enrolled_generation = COALESCE(
      (SELECT max(u.generation) FROM enroll_token_uses u WHERE u.device_id = devices.id), 1),
    token_used_at = CASE WHEN last_seen_at >= enrolled_at THEN last_seen_at END;

-- An FCM token is that of the device that told it last.
CREATE INDEX devices_fcm_token ON devices (fcm_token) WHERE fcm_token IS NOT NULL;
UPDATE devices SET fcm_token = NULL, fcm_token_at = NULL
WHERE fcm_token IS NOT NULL AND EXISTS (
  SELECT 1 FROM devices o
  WHERE o.fcm_token = devices.fcm_token
    AND (COALESCE(o.fcm_token_at, 0) > COALESCE(devices.fcm_token_at, 0)
         OR (COALESCE(o.fcm_token_at, 0) = COALESCE(devices.fcm_token_at, 0) AND o.id > devices.id)));

-- Whether it lets ids in again that are enrolled already, and since when it lets nobody in any more.
ALTER TABLE enroll_tokens ADD COLUMN allow_known INTEGER NOT NULL DEFAULT 0 CHECK (allow_known IN (0, 1));
ALTER TABLE enroll_tokens ADD COLUMN revoked_at INTEGER;

-- What became of each token's enrolments in an hour that is not in the audit log yet; token 0 stands for devices that
-- came with the token of their previous server.
CREATE TABLE enroll_token_hours (
  token_id INTEGER NOT NULL,
  hour_at INTEGER NOT NULL,
  enrolled INTEGER NOT NULL DEFAULT 0,
  refused INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (token_id, hour_at)
) STRICT, WITHOUT ROWID;

-- Devices that were imported and have not enrolled here yet.
CREATE TABLE imported_devices (
  device_id INTEGER PRIMARY KEY REFERENCES devices (id) ON DELETE CASCADE,
  -- The hash of its token of the previous server: sha256: and 64 hex digits, or bcrypt's own form; NULL: none came.
  previous_token TEXT,
  imported_at INTEGER NOT NULL,
  -- How often that token was guessed since tries_at.
  tries INTEGER NOT NULL DEFAULT 0,
  tries_at INTEGER
) STRICT;
