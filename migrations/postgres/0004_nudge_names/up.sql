-- Nudges: plainer names, and how many devices gave no answer (the SQLite file is the twin of this one).

-- Devices that were named and do not exist.
ALTER TABLE nudge_strangers RENAME TO nudge_unknown_devices;
ALTER TABLE nudge_unknown_devices RENAME CONSTRAINT nudge_strangers_pkey TO nudge_unknown_devices_pkey;
ALTER TABLE nudge_unknown_devices
  RENAME CONSTRAINT nudge_strangers_campaign_id_fkey TO nudge_unknown_devices_campaign_id_fkey;

-- Why the sender itself stopped the campaign; NULL: it did not.
ALTER TABLE nudge_campaigns RENAME COLUMN held TO suspended;

-- One more kind: 'silent' counts the deliveries that were sent and whose devices neither polled nor answered before
-- the command's life and a minute were over.
ALTER TABLE nudge_counts DROP CONSTRAINT nudge_counts_kind_check;
ALTER TABLE nudge_counts ADD CONSTRAINT nudge_counts_kind_check
  CHECK (kind IN ('queued', 'sent', 'failed', 'acknowledged', 'polled', 'installed', 'silent'));

-- Counted once for the campaigns that there are. From here on the count follows each change.
INSERT INTO nudge_counts (campaign_id, kind, reason, count)
SELECT n.campaign_id, 'silent', '', count(*)
FROM nudge_deliveries n JOIN nudge_campaigns c ON c.id = n.campaign_id
WHERE n.state = 'sent'
  AND (n.polled_at IS NULL OR n.polled_at > n.sent_at + (c.ttl_s + 60) * 1000000)
  AND (n.acknowledged_at IS NULL OR n.acknowledged_at > n.sent_at + (c.ttl_s + 60) * 1000000)
GROUP BY n.campaign_id;
