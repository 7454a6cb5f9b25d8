-- Nudges. Conventions as in 0001_initial.

CREATE TABLE nudge_campaigns (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  -- The name that all its commands bear: each device sees only its own, so it is unique to the device.
  request_id TEXT NOT NULL UNIQUE,
  -- NULL: everything counts as "its" installation.
  package_id INTEGER REFERENCES packages (id),
  audience TEXT NOT NULL CHECK (audience IN ('all', 'behind')),
  -- Whether devices were named, rather than the fleet.
  named INTEGER NOT NULL CHECK (named IN (0, 1)),
  priority TEXT NOT NULL CHECK (priority IN ('normal', 'high')),
  ttl_s INTEGER NOT NULL CHECK (ttl_s >= 1),
  state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'paused', 'canceled', 'completed')),
  -- Why the sender itself paused it; NULL: an operator did, or nobody.
  held TEXT,
  created_by TEXT NOT NULL,
  -- The caller's name for the request, and what it asked for: the same again makes no second campaign.
  idempotency_key TEXT,
  order_hash BLOB NOT NULL CHECK (length(order_hash) = 32),
  created_at INTEGER NOT NULL,
  started_at INTEGER,
  ended_at INTEGER,
  -- Until then polls and installations are looked at for it.
  followed_until_at INTEGER NOT NULL,
  UNIQUE (created_by, idempotency_key),
  CHECK ((ended_at IS NOT NULL) = (state IN ('canceled', 'completed')))
) STRICT;
CREATE INDEX nudge_campaigns_package ON nudge_campaigns (package_id);
CREATE INDEX nudge_campaigns_live ON nudge_campaigns (id) WHERE ended_at IS NULL;
CREATE INDEX nudge_campaigns_followed ON nudge_campaigns (followed_until_at);

-- Without foreign keys: a campaign for a million devices would look up and lock each of them in its turn, and
-- neither devices nor campaigns are ever deleted.
CREATE TABLE nudge_deliveries (
  campaign_id INTEGER NOT NULL,
  device_id INTEGER NOT NULL,
  -- What is queued when its campaign is canceled stays so here, and is told as canceled.
  state TEXT NOT NULL CHECK (state IN ('queued', 'sent', 'failed')),
  -- Why it failed.
  reason TEXT,
  -- How often it was claimed, and since when it can be claimed (again): a lease, or a back-off.
  attempts INTEGER NOT NULL DEFAULT 0,
  due_at INTEGER NOT NULL,
  -- The first time of each; NULL: never. Each is counted once in the progress.
  claimed_at INTEGER,
  sent_at INTEGER,
  polled_at INTEGER,
  installed_at INTEGER,
  acknowledged_at INTEGER,
  -- The device's answer.
  action TEXT,
  outcome TEXT,
  message TEXT,
  finished_at INTEGER,
  PRIMARY KEY (campaign_id, device_id),
  CHECK ((reason IS NOT NULL) = (state = 'failed'))
) STRICT, WITHOUT ROWID;
CREATE INDEX nudge_deliveries_device ON nudge_deliveries (device_id, campaign_id);
-- A device that was never claimed is due before one whose lease ran out.
CREATE INDEX nudge_deliveries_due ON nudge_deliveries (campaign_id, due_at, device_id) WHERE state = 'queued';
CREATE INDEX nudge_deliveries_failed ON nudge_deliveries (campaign_id, device_id) WHERE state = 'failed';

-- Devices that were named and do not exist.
CREATE TABLE nudge_strangers (
  campaign_id INTEGER NOT NULL REFERENCES nudge_campaigns (id),
  name TEXT NOT NULL,
  PRIMARY KEY (campaign_id, name)
) STRICT, WITHOUT ROWID;

-- A campaign's progress: written with what it counts, so that nobody ever counts deliveries.
CREATE TABLE nudge_counts (
  campaign_id INTEGER NOT NULL REFERENCES nudge_campaigns (id),
  kind TEXT NOT NULL CHECK (kind IN ('queued', 'sent', 'failed', 'acknowledged', 'polled', 'installed')),
  -- Of 'failed'; otherwise ''.
  reason TEXT NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (campaign_id, kind, reason)
) STRICT, WITHOUT ROWID;
