-- What devices wait for before they install, and until when. See 0001 for the conventions.

-- Such as 'charging,idle'; '': nothing.
ALTER TABLE rollouts ADD COLUMN install_when TEXT NOT NULL DEFAULT '';
-- From then on devices wait for nothing, and those that are not done are overdue; NULL: never.
ALTER TABLE rollouts ADD COLUMN install_deadline_at INTEGER;

-- Who was offered a build and has not installed it.
CREATE INDEX device_rollouts_unfinished ON device_rollouts (rollout_id, device_id)
  WHERE offered_at IS NOT NULL AND installed_at IS NULL;
