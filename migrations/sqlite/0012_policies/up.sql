-- Tags that operators give to devices, and policies. See 0001 for the conventions.

CREATE TABLE tags (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  -- How many rows of `device_tags` there are.
  devices INTEGER NOT NULL DEFAULT 0 CHECK (devices >= 0)
) STRICT;

CREATE TABLE device_tags (
  device_id INTEGER NOT NULL REFERENCES devices (id),
  tag_id INTEGER NOT NULL REFERENCES tags (id),
  PRIMARY KEY (device_id, tag_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX device_tags_tag ON device_tags (tag_id, device_id);

-- The epoch at which a device's tags last changed. The row stays when the last tag is taken away: servers that hold
-- the device's tags in memory find out by it.
CREATE TABLE tagged_devices (
  device_id INTEGER PRIMARY KEY REFERENCES devices (id),
  epoch INTEGER NOT NULL
) STRICT;
CREATE INDEX tagged_devices_epoch ON tagged_devices (epoch, device_id);

CREATE TABLE policies (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  -- On whom it hangs; both NULL: everybody.
  tag_id INTEGER REFERENCES tags (id),
  device_id INTEGER REFERENCES devices (id),
  -- NULL: all packages.
  package_id INTEGER REFERENCES packages (id),
  max_version INTEGER CHECK (max_version > 0),
  holds INTEGER NOT NULL CHECK (holds IN (0, 1)),
  -- NULL: until it is lifted.
  hold_until_at INTEGER,
  remark TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  CHECK (tag_id IS NULL OR device_id IS NULL),
  CHECK (holds = 1 OR (max_version IS NOT NULL AND hold_until_at IS NULL))
) STRICT;
CREATE INDEX policies_tag ON policies (tag_id);
CREATE INDEX policies_device ON policies (device_id);
CREATE INDEX policies_package ON policies (package_id);

INSERT INTO epochs (name, value) VALUES ('tags', 0);
