-- What devices are found by. See 0001 for the conventions.

-- Apart from `devices`, whose rows change with every poll: an index there would be written each time. What a device's
-- last poll left out is filled in from its enrolment, as people are shown it. Triggers keep it, so that whatever writes
-- a device, in whatever statement, writes this in the same transaction.
CREATE TABLE device_search (
  device_id INTEGER PRIMARY KEY NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
  -- The id and the alias in lower case, a line each.
  words TEXT NOT NULL,
  model TEXT,
  manufacturer TEXT,
  sdk BIGINT,
  region TEXT,
  enrolled_at BIGINT NOT NULL
);

INSERT INTO device_search (device_id, words, model, manufacturer, sdk, region, enrolled_at)
SELECT id, lower(name) || char(10) || coalesce(alias_key, ''), coalesce(polled_json ->> 'model', model),
  coalesce(polled_json ->> 'manufacturer', manufacturer), coalesce(polled_json ->> 'sdk', sdk),
  coalesce(polled_json ->> 'region', region), enrolled_at
FROM devices;

CREATE INDEX device_search_model ON device_search (model, device_id);
CREATE INDEX device_search_manufacturer ON device_search (manufacturer, device_id);
CREATE INDEX device_search_sdk ON device_search (sdk, device_id);
CREATE INDEX device_search_region ON device_search (region, device_id);
CREATE INDEX device_search_enrolled ON device_search (enrolled_at, device_id);

-- Which three letters occur, not where: a third of the size, and what is found is looked at anyway.
CREATE VIRTUAL TABLE device_words USING fts5 (
  words, content = 'device_search', content_rowid = 'device_id', tokenize = 'trigram', detail = 'none'
);
INSERT INTO device_words (device_words) VALUES ('rebuild');

CREATE TRIGGER device_words_insert AFTER INSERT ON device_search BEGIN
  INSERT INTO device_words (rowid, words) VALUES (new.device_id, new.words);
END;
CREATE TRIGGER device_words_delete AFTER DELETE ON device_search BEGIN
  INSERT INTO device_words (device_words, rowid, words) VALUES ('delete', old.device_id, old.words);
END;
CREATE TRIGGER device_words_update AFTER UPDATE OF words ON device_search WHEN old.words <> new.words BEGIN
  INSERT INTO device_words (device_words, rowid, words) VALUES ('delete', old.device_id, old.words);
  INSERT INTO device_words (rowid, words) VALUES (new.device_id, new.words);
END;

CREATE TRIGGER devices_search_insert AFTER INSERT ON devices BEGIN
  INSERT INTO device_search (device_id, words, model, manufacturer, sdk, region, enrolled_at)
  VALUES (new.id, lower(new.name) || char(10) || coalesce(new.alias_key, ''),
    coalesce(new.polled_json ->> 'model', new.model),
    coalesce(new.polled_json ->> 'manufacturer', new.manufacturer),
    coalesce(new.polled_json ->> 'sdk', new.sdk), coalesce(new.polled_json ->> 'region', new.region),
    new.enrolled_at);
END;
CREATE TRIGGER devices_search_words AFTER UPDATE OF name, alias_key ON devices
WHEN old.name <> new.name OR old.alias_key IS NOT new.alias_key BEGIN
  UPDATE device_search SET words = lower(new.name) || char(10) || coalesce(new.alias_key, '')
  WHERE device_id = new.id;
END;
-- Most polls say what the one before said, and end at the condition.
CREATE TRIGGER devices_search_facts AFTER UPDATE OF polled_json, model, manufacturer, sdk, region, enrolled_at ON devices
WHEN old.polled_json IS NOT new.polled_json OR old.model IS NOT new.model OR old.sdk IS NOT new.sdk
  OR old.manufacturer IS NOT new.manufacturer OR old.region IS NOT new.region OR old.enrolled_at <> new.enrolled_at
BEGIN
  UPDATE device_search SET model = coalesce(new.polled_json ->> 'model', new.model),
    manufacturer = coalesce(new.polled_json ->> 'manufacturer', new.manufacturer),
    sdk = coalesce(new.polled_json ->> 'sdk', new.sdk), region = coalesce(new.polled_json ->> 'region', new.region),
    enrolled_at = new.enrolled_at
  WHERE device_id = new.id;
END;

-- The devices of each failure, and what became of them.
CREATE INDEX device_builds_reason ON device_builds (build_id, last_reason, device_id, last_status)
WHERE last_reason IS NOT NULL;
CREATE INDEX device_builds_given_up ON device_builds (build_id, device_id) WHERE rejected_generation IS NOT NULL;
CREATE INDEX device_builds_recovered ON device_builds (build_id, device_id)
WHERE installed_at IS NOT NULL AND failures = 0 AND coalesce(install_failed_at, verify_failed_at) IS NOT NULL;
CREATE INDEX reports_troubles ON reports (build_id, reported_at, reason, device_id) WHERE reason IS NOT NULL;
