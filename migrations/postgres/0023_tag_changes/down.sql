-- Timelines tell no tags.
DROP TABLE tag_changes;
