-- Nudges: plainer names, and how many devices gave no answer.

-- Devices that were named and do not exist.
ALTER TABLE nudge_strangers RENAME TO nudge_unknown_devices;

-- Why the sender itself stopped the campaign; NULL: it did not.
ALTER TABLE nudge_campaigns RENAME COLUMN held TO suspended;

-- One more kind: 'silent' counts the deliveries that were sent and whose devices neither polled nor answered before
-- the command's life and a minute were over. SQLite changes no CHECK, so the table is written anew.
CREATE TABLE nudge_counts_new (
  campaign_id INTEGER NOT NULL REFERENCES nudge_campaigns (id),
  kind TEXT NOT NULL
    CHECK (kind IN ('queued', 'sent', 'failed', 'acknowledged', 'polled', 'installed', 'silent')),
  -- Of 'failed'; otherwise ''.
  reason TEXT NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (campaign_id, kind, reason)
) STRICT, WITHOUT ROWID;
INSERT INTO nudge_counts_new (campaign_id, kind, reason, count)
SELECT campaign_id, kind, reason, count FROM nudge_counts;
DROP TABLE nudge_counts;
ALTER TABLE nudge_counts_new RENAME TO nudge_counts;

-- Counted once for the campaigns that there are. From here on the count follows each change.
INSERT INTO nudge_counts (campaign_id, kind, reason, count)
SELECT n.campaign_id, 'silent', '', count(*)
FROM nudge_deliveries n JOIN nudge_campaigns c ON c.id = n.campaign_id
WHERE n.state = 'sent'
  AND (n.polled_at IS NULL OR n.polled_at > n.sent_at + (c.ttl_s + 60) * 1000000)
  AND (n.acknowledged_at IS NULL OR n.acknowledged_at > n.sent_at + (c.ttl_s + 60) * 1000000)
GROUP BY n.campaign_id;
