CREATE TABLE nudge_counts_old (
  campaign_id INTEGER NOT NULL REFERENCES nudge_campaigns (id),
  kind TEXT NOT NULL CHECK (kind IN ('queued', 'sent', 'failed', 'acknowledged', 'polled', 'installed')),
  -- Of 'failed'; otherwise ''.
  reason TEXT NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (campaign_id, kind, reason)
) STRICT, WITHOUT ROWID;
INSERT INTO nudge_counts_old (campaign_id, kind, reason, count)
SELECT campaign_id, kind, reason, count FROM nudge_counts WHERE kind <> 'silent';
DROP TABLE nudge_counts;
ALTER TABLE nudge_counts_old RENAME TO nudge_counts;
ALTER TABLE nudge_campaigns RENAME COLUMN suspended TO held;
ALTER TABLE nudge_unknown_devices RENAME TO nudge_strangers;
