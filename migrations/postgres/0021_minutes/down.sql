-- The hours stay; the minutes and what gates have read are lost.
DROP TABLE gate_readings;
DROP TABLE build_minutes;
DROP TABLE version_minutes;
