-- Arms that serve go on as rollouts of their own.
DROP INDEX rollouts_experiment;
ALTER TABLE rollouts DROP COLUMN experiment_id;
DROP TABLE experiments;
