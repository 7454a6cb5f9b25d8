DELETE FROM nudge_counts WHERE kind = 'silent';
ALTER TABLE nudge_counts DROP CONSTRAINT nudge_counts_kind_check;
ALTER TABLE nudge_counts ADD CONSTRAINT nudge_counts_kind_check
  CHECK (kind IN ('queued', 'sent', 'failed', 'acknowledged', 'polled', 'installed'));
ALTER TABLE nudge_campaigns RENAME COLUMN suspended TO held;
ALTER TABLE nudge_unknown_devices
  RENAME CONSTRAINT nudge_unknown_devices_campaign_id_fkey TO nudge_strangers_campaign_id_fkey;
ALTER TABLE nudge_unknown_devices RENAME CONSTRAINT nudge_unknown_devices_pkey TO nudge_strangers_pkey;
ALTER TABLE nudge_unknown_devices RENAME TO nudge_strangers;
