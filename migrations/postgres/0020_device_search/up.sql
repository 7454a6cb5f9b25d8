-- What devices are found by. See 0001 for the conventions.

-- Apart from `devices`, whose rows change with every poll: an index there would be written each time. What a device's
-- last poll left out is filled in from its enrolment, as people are shown it. Triggers keep it, so that whatever writes
-- a device, in whatever statement, writes this in the same transaction.
CREATE TABLE device_search (
  device_id BIGINT PRIMARY KEY REFERENCES devices (id) ON DELETE CASCADE,
  -- The id and the alias in lower case, a line each.
  words TEXT COLLATE "C" NOT NULL,
  model TEXT COLLATE "C",
  manufacturer TEXT COLLATE "C",
  sdk BIGINT,
  region TEXT COLLATE "C",
  enrolled_at BIGINT NOT NULL
);

-- JSON's \u0000 has no text here: of a device that sends one, what it enrolled with is known.
INSERT INTO device_search (device_id, words, model, manufacturer, sdk, region, enrolled_at)
SELECT d.id, lower(d.name) || chr(10) || coalesce(d.alias_key, ''), coalesce(p.said ->> 'model', d.model),
  coalesce(p.said ->> 'manufacturer', d.manufacturer), coalesce(CAST(p.said ->> 'sdk' AS BIGINT), d.sdk),
  coalesce(p.said ->> 'region', d.region), d.enrolled_at
FROM devices d
CROSS JOIN LATERAL (
  SELECT CASE WHEN position('\u0000' IN d.polled_json) = 0 THEN d.polled_json::json END AS said
) p;

CREATE INDEX device_search_model ON device_search (model, device_id);
CREATE INDEX device_search_manufacturer ON device_search (manufacturer, device_id);
CREATE INDEX device_search_sdk ON device_search (sdk, device_id);
CREATE INDEX device_search_region ON device_search (region, device_id);
CREATE INDEX device_search_enrolled ON device_search (enrolled_at, device_id);

-- The extension needs a right that not every database gives. Without it words are found by looking at devices one by
-- one, up to a bound, and this migration has done its work all the same.
DO $$
BEGIN
  CREATE EXTENSION IF NOT EXISTS pg_trgm;
  CREATE INDEX device_search_words ON device_search USING gin (words gin_trgm_ops);
EXCEPTION WHEN insufficient_privilege OR feature_not_supported OR undefined_file OR undefined_object
  OR invalid_schema_name THEN
  RAISE WARNING 'no index for searching within names: %', SQLERRM;
END;
$$;

CREATE FUNCTION devices_search_keep() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  said_model TEXT;
  said_manufacturer TEXT;
  said_sdk BIGINT;
  said_region TEXT;
BEGIN
  BEGIN
    said_model := NEW.polled_json::json ->> 'model';
    said_manufacturer := NEW.polled_json::json ->> 'manufacturer';
    said_sdk := CAST(NEW.polled_json::json ->> 'sdk' AS BIGINT);
    said_region := NEW.polled_json::json ->> 'region';
  EXCEPTION WHEN untranslatable_character OR invalid_text_representation THEN
    -- A poll is not refused for a text that has no place here.
    NULL;
  END;
  INSERT INTO device_search AS s (device_id, words, model, manufacturer, sdk, region, enrolled_at)
  VALUES (NEW.id, lower(NEW.name) || chr(10) || coalesce(NEW.alias_key, ''), coalesce(said_model, NEW.model),
    coalesce(said_manufacturer, NEW.manufacturer), coalesce(said_sdk, NEW.sdk), coalesce(said_region, NEW.region),
    NEW.enrolled_at)
  ON CONFLICT (device_id) DO UPDATE SET words = excluded.words, model = excluded.model,
    manufacturer = excluded.manufacturer, sdk = excluded.sdk, region = excluded.region,
    enrolled_at = excluded.enrolled_at;
  RETURN NULL;
END;
$$;
CREATE TRIGGER devices_search_insert AFTER INSERT ON devices
  FOR EACH ROW EXECUTE FUNCTION devices_search_keep();
-- Most polls say what the one before said, and end at the condition.
CREATE TRIGGER devices_search_update
  AFTER UPDATE OF name, alias_key, polled_json, model, manufacturer, sdk, region, enrolled_at ON devices
  FOR EACH ROW WHEN (
    OLD.name <> NEW.name OR OLD.alias_key IS DISTINCT FROM NEW.alias_key
    OR OLD.polled_json IS DISTINCT FROM NEW.polled_json OR OLD.model IS DISTINCT FROM NEW.model
    OR OLD.manufacturer IS DISTINCT FROM NEW.manufacturer OR OLD.sdk IS DISTINCT FROM NEW.sdk
    OR OLD.region IS DISTINCT FROM NEW.region OR OLD.enrolled_at <> NEW.enrolled_at
  ) EXECUTE FUNCTION devices_search_keep();

-- The devices of each failure, and what became of them.
CREATE INDEX device_builds_reason ON device_builds (build_id, last_reason, device_id, last_status)
WHERE last_reason IS NOT NULL;
CREATE INDEX device_builds_given_up ON device_builds (build_id, device_id) WHERE rejected_generation IS NOT NULL;
CREATE INDEX device_builds_recovered ON device_builds (build_id, device_id)
WHERE installed_at IS NOT NULL AND failures = 0 AND coalesce(install_failed_at, verify_failed_at) IS NOT NULL;
CREATE INDEX reports_troubles ON reports (build_id, reported_at, reason, device_id) WHERE reason IS NOT NULL;
