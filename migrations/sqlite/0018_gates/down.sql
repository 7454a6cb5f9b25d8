-- Earlier versions know no gates: whatever one has halted stays halted.
DROP TABLE gate_members;
DROP TABLE gate_counts;
DROP INDEX rollouts_gated;
DROP INDEX device_rollouts_unfailed;
DROP INDEX device_rollouts_unconfirmed;
ALTER TABLE device_rollouts DROP COLUMN confirmed_at;
ALTER TABLE device_rollouts DROP COLUMN succeeded_at;
ALTER TABLE device_rollouts DROP COLUMN troubled_at;
ALTER TABLE device_rollouts DROP COLUMN failed_at;
ALTER TABLE device_rollouts DROP COLUMN sent_at;
ALTER TABLE device_rollouts DROP COLUMN begun_at;
ALTER TABLE device_rollouts DROP COLUMN gate_step;
ALTER TABLE device_rollouts DROP COLUMN gate_segment;
DROP TABLE gates;
ALTER TABLE rollout_events DROP COLUMN remark;
ALTER TABLE rollouts DROP COLUMN gate_json;
ALTER TABLE packages DROP COLUMN gate_json;
