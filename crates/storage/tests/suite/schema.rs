//! Rules that every table keeps, checked against the schema itself.

use crate::on_both_engines;
use crate::place::Place;

// An index of words is a table on SQLite, `device_words`, with others that are FTS5's own.
on_both_engines!(
    every_table_has_a_primary_key,
    every_foreign_key_has_an_index,
    both_engines_have_the_same_columns,
);

async fn every_table_has_a_primary_key(place: &Place) {
    place.store().await;
    let without = place.texts(if place.is_sqlite() {
        "SELECT name AS value FROM sqlite_schema s WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
         AND name NOT LIKE 'device_words%' AND NOT EXISTS (SELECT 1 FROM pragma_table_info(s.name) WHERE pk > 0)"
    } else {
        "SELECT tablename::text AS value FROM pg_tables WHERE schemaname = 'public'
         AND NOT EXISTS (SELECT 1 FROM pg_index
                         WHERE indrelid = tablename::regclass AND indisprimary)"
    });
    assert_eq!(without, Vec::<String>::new());
}

/// Without one, deleting or changing the row that is referred to reads the whole table.
async fn every_foreign_key_has_an_index(place: &Place) {
    place.store().await;
    let (keys, without) = if place.is_sqlite() {
        (
            "SELECT count(*) AS value FROM sqlite_schema s, pragma_foreign_key_list(s.name) f
             WHERE s.type = 'table' AND f.seq = 0",
            "SELECT s.name || '.' || f.\"from\" AS value
             FROM sqlite_schema s, pragma_foreign_key_list(s.name) f
             WHERE s.type = 'table' AND f.seq = 0
               AND NOT EXISTS (SELECT 1 FROM pragma_table_info(s.name) c
                               WHERE c.name = f.\"from\" AND c.pk = 1)
               AND NOT EXISTS (SELECT 1 FROM pragma_index_list(s.name) i, pragma_index_info(i.name) c
                               WHERE c.seqno = 0 AND c.name = f.\"from\" AND i.partial = 0)",
        )
    } else {
        (
            "SELECT count(*) AS value FROM pg_constraint WHERE contype = 'f'",
            "SELECT conrelid::regclass || '.' || conname AS value FROM pg_constraint
             WHERE contype = 'f'
               AND NOT EXISTS (SELECT 1 FROM pg_index
                               WHERE indrelid = conrelid AND indkey[0] = conkey[1] AND indpred IS NULL)",
        )
    };
    assert!(place.number(keys) > 10, "the question itself finds keys");
    assert_eq!(place.texts(without), Vec::<String>::new());
}

async fn both_engines_have_the_same_columns(place: &Place) {
    place.store().await;
    let other = if place.is_sqlite() {
        Place::postgres("same_columns")
    } else {
        Place::sqlite()
    };
    other.store().await;
    assert_eq!(columns(place), columns(&other));
}

fn columns(place: &Place) -> Vec<String> {
    let mut columns = place.texts(if place.is_sqlite() {
        "SELECT s.name || '.' || c.name || CASE c.\"notnull\" OR c.pk > 0 WHEN 1 THEN '!' ELSE '?' END AS value
         FROM sqlite_schema s, pragma_table_info(s.name) c
         WHERE s.type = 'table' AND s.name NOT LIKE 'sqlite_%' AND s.name NOT LIKE '\\_\\_%' ESCAPE '\\'
           AND s.name NOT LIKE 'device_words%'"
    } else {
        "SELECT table_name || '.' || column_name || CASE is_nullable WHEN 'NO' THEN '!' ELSE '?' END AS value
         FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name NOT LIKE '\\_\\_%'"
    });
    columns.sort();
    columns
}
