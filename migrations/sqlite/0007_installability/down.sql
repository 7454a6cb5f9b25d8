DROP INDEX builds_unexamined;
ALTER TABLE builds DROP COLUMN profile_json;
ALTER TABLE builds DROP COLUMN installability_json;
