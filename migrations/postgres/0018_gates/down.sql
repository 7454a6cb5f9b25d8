-- Earlier versions know no gates: whatever one has halted stays halted.
DROP TABLE gates;
ALTER TABLE rollout_events DROP COLUMN remark;
ALTER TABLE rollouts DROP COLUMN gate_json;
