-- Who gave tags to a device, or took them from it. See 0001 for the conventions.

-- The last change of each tag of a device, for the device's timeline. The tag is named as it was then: it may be renamed or
-- deleted by now.
CREATE TABLE tag_changes (
  device_id INTEGER NOT NULL REFERENCES devices (id),
  tag TEXT NOT NULL,
  is_given INTEGER NOT NULL CHECK (is_given IN (0, 1)),
  actor TEXT NOT NULL,
  changed_at INTEGER NOT NULL,
  PRIMARY KEY (device_id, tag)
) STRICT, WITHOUT ROWID;
CREATE INDEX tag_changes_changed ON tag_changes (changed_at);
