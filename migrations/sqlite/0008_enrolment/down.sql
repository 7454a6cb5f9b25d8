DROP TABLE imported_devices;
DROP TABLE enroll_token_hours;
-- Earlier versions know no token that was ended before its time: it must not come back by going back.
UPDATE enroll_tokens SET expires_at = min(expires_at, revoked_at) WHERE revoked_at IS NOT NULL;
ALTER TABLE enroll_tokens DROP COLUMN revoked_at;
ALTER TABLE enroll_tokens DROP COLUMN allow_known;
DROP INDEX devices_fcm_token;
ALTER TABLE devices DROP COLUMN duplicate_seen_at;
ALTER TABLE devices DROP COLUMN refusal_noted_at;
ALTER TABLE devices DROP COLUMN enrolment_allowed_until_at;
ALTER TABLE devices DROP COLUMN token_used_at;
ALTER TABLE devices DROP COLUMN enrollment_key_hash;
ALTER TABLE devices DROP COLUMN command_generation;
ALTER TABLE devices DROP COLUMN enrolled_generation;
