-- On which levels of Android devices install the build, and what was found in its file; NULL: the file was not
-- examined yet, and the build is offered as if there were nothing to find.
ALTER TABLE builds ADD COLUMN installability_json TEXT;
-- What two builds are compared by; NULL as above.
ALTER TABLE builds ADD COLUMN profile_json TEXT;
CREATE INDEX builds_unexamined ON builds (id) WHERE profile_json IS NULL;
