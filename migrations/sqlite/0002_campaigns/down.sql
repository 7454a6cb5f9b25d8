DROP TABLE nudge_counts;
DROP TABLE nudge_strangers;
DROP TABLE nudge_deliveries;
DROP TABLE nudge_campaigns;
