-- The hashes stay, and with them the chain as earlier versions verify it.
DROP TABLE restorations;
ALTER TABLE service_accounts DROP COLUMN mac;
ALTER TABLE users DROP COLUMN mac;
ALTER TABLE audit_log DROP COLUMN mac;
DROP TABLE record_keys;
DROP TABLE record;
