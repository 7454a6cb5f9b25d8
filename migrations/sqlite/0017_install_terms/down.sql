DROP INDEX device_rollouts_unfinished;
ALTER TABLE rollouts DROP COLUMN install_deadline_at;
ALTER TABLE rollouts DROP COLUMN install_when;
