-- Who gave tags to a device, or took them from it. See 0001 for the conventions.

-- The last change of each tag of a device, for the device's timeline. The tag is named as it was then: it may be renamed or
-- deleted by now.
CREATE TABLE tag_changes (
  device_id BIGINT NOT NULL REFERENCES devices (id),
  tag TEXT NOT NULL,
  is_given BOOLEAN NOT NULL,
  actor TEXT NOT NULL,
  changed_at BIGINT NOT NULL,
  PRIMARY KEY (device_id, tag)
);
CREATE INDEX tag_changes_changed ON tag_changes (changed_at);
