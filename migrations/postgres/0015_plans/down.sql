-- Earlier versions know neither plans nor proposals. A plan's rollout keeps the share that its step at hand leads to, and
-- what has not begun is given up.
DROP TABLE rollout_events;
ALTER TABLE packages DROP COLUMN plan_json;
ALTER TABLE packages DROP COLUMN approval_request_json;
ALTER TABLE packages DROP COLUMN approval;
UPDATE rollouts SET state = 'canceled', serving = FALSE WHERE state IN ('proposed', 'scheduled');
ALTER TABLE rollouts DROP COLUMN keep_previous;
ALTER TABLE rollouts DROP COLUMN consent_json;
ALTER TABLE rollouts DROP COLUMN plan_json;

ALTER TABLE rollouts DROP CONSTRAINT rollouts_state_check;
ALTER TABLE rollouts ADD CONSTRAINT rollouts_state_check CHECK (state IN (
  'scheduled', 'active', 'paused', 'completed', 'halted', 'superseded', 'rolled_back', 'canceled'));
