-- What was held back or kept below a version is offered updates again, and tags are lost.
DELETE FROM epochs WHERE name = 'tags';
DROP TABLE policies;
DROP TABLE tagged_devices;
DROP TABLE device_tags;
DROP TABLE tags;
