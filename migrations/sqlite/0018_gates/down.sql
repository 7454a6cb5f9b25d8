-- Earlier versions know no gates: whatever one has halted stays halted.
DROP TABLE gates;
ALTER TABLE rollouts DROP COLUMN gate_json;
ALTER TABLE packages DROP COLUMN gate_json;
