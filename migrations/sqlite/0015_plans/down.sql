-- Earlier versions know neither plans nor proposals. A plan's rollout keeps the share that its step at hand leads to, and
-- what has not begun is given up.
DROP TABLE rollout_events;
ALTER TABLE packages DROP COLUMN plan_json;
ALTER TABLE packages DROP COLUMN approval_request_json;
ALTER TABLE packages DROP COLUMN approval;
UPDATE rollouts SET state = 'canceled', serving = 0 WHERE state IN ('proposed', 'scheduled');
ALTER TABLE rollouts DROP COLUMN keep_previous;
ALTER TABLE rollouts DROP COLUMN consent_json;
ALTER TABLE rollouts DROP COLUMN plan_json;

PRAGMA writable_schema = ON;
UPDATE sqlite_schema
SET sql = replace(sql, '''proposed'', ''scheduled'', ''active''', '''scheduled'', ''active''')
WHERE type = 'table' AND name = 'rollouts';
PRAGMA writable_schema = RESET;
