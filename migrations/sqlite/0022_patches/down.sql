-- Devices take whole files again. The patches' own files stay in the artifact store, where no build needs them.
DELETE FROM epochs WHERE name = 'patches';
DROP TABLE patch_stats;
DROP TABLE device_patches;
DROP TABLE patches;
