//! Opening a database: for the first time, all at once, or not at all.

use std::time::Duration;

use tidegate_storage::{Error, Settings, Store};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{APP, actor, facts, package, provenance, upload};

on_both_engines!(
    a_writer_that_waits_too_long_says_so,
    servers_that_start_at_once_all_come_up,
    migrations_go_up_and_down_and_up_again,
    later_migrations_alone_can_be_taken_back,
    tables_of_a_later_program_are_left_alone,
);

async fn a_writer_that_waits_too_long_says_so(place: &Place) {
    let mut settings = place.settings();
    settings.busy_timeout = Duration::from_millis(200);
    let store = Store::open(&settings).await.unwrap();
    upload(&store, APP, 1).await;
    let held = place.hold("UPDATE packages SET allow_debuggable = allow_debuggable");
    let note = actor("ci").note("ota.upload", "package/com.example.app");
    let waited = store.insert_build(facts(APP, 2), provenance(), None, note).await;
    assert!(matches!(waited, Err(Error::Busy(_))), "{waited:?}");
    assert!(
        store.package(&package(APP)).await.is_ok(),
        "readers wait for no writer"
    );
    drop(held);
    upload(&store, APP, 2).await;
}

#[tokio::test]
async fn a_postgresql_that_goes_away_is_missed_and_found_again() {
    let cluster = tidegate_testkit::postgres::Cluster::start();
    let place = Place::Postgres(cluster.database("going"));
    let mut settings = place.settings();
    settings.busy_timeout = Duration::from_millis(500);
    let store = Store::open(&settings).await.unwrap();
    upload(&store, APP, 1).await;
    let dropped = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
    place.execute(dropped).unwrap();
    store.ready().await.expect("a lost connection is replaced");
    drop(cluster);
    let gone = store.ready().await;
    assert!(matches!(gone, Err(Error::Unavailable(_))), "{gone:?}");
}

async fn servers_that_start_at_once_all_come_up(place: &Place) {
    let starts: Vec<_> = (0..6)
        .map(|_| {
            let settings = place.settings();
            tokio::spawn(async move { Store::open(&settings).await })
        })
        .collect();
    for start in starts {
        let store = start.await.unwrap().expect("every one of them starts");
        store.ready().await.expect("and answers");
    }
}

async fn migrations_go_up_and_down_and_up_again(place: &Place) {
    let store = Store::connect(&place.settings()).await.unwrap();
    let missing = store.pending().await.unwrap();
    assert!(!missing.is_empty());
    assert!(store.ready().await.is_err(), "without tables nothing is ready");

    assert_eq!(store.migrate().await.unwrap().len(), missing.len());
    assert_eq!(store.pending().await.unwrap(), Vec::<String>::new());
    assert_eq!(
        store.migrate().await.unwrap(),
        Vec::<String>::new(),
        "a second run does nothing"
    );
    upload(&store, APP, 1).await;

    assert_eq!(store.revert().await.unwrap().len(), missing.len());
    let left = place.texts(tables(place));
    assert_eq!(left, ["__diesel_schema_migrations"]);

    store.migrate().await.unwrap();
    assert_eq!(upload(&store, APP, 1).await.id.0, 1, "the tables are new");
}

async fn later_migrations_alone_can_be_taken_back(place: &Place) {
    let store = place.store().await;
    let build = upload(&store, APP, 1).await;
    let reverted = store.revert_to("0001").await.unwrap();
    assert!(reverted.contains(&"0002".to_owned()) && !reverted.contains(&"0001".to_owned()));
    assert!(reverted.is_sorted_by(|one, next| one > next), "{reverted:?}");
    assert_eq!(store.pending().await.unwrap().len(), reverted.len());
    assert_eq!(store.migrate().await.unwrap().len(), reverted.len());
    assert_eq!(
        store.build(build.id).await,
        Ok(build),
        "earlier tables keep what they have"
    );
}

async fn tables_of_a_later_program_are_left_alone(place: &Place) {
    let store = place.store().await;
    let build = upload(&store, APP, 1).await;
    let sql = "INSERT INTO __diesel_schema_migrations (version) VALUES ('9999')";
    assert_eq!(place.execute(sql), Ok(1));
    let answers = [
        Store::open(&place.settings()).await.map(drop),
        store.pending().await.map(drop),
        store.migrate().await.map(drop),
        store.revert().await.map(drop),
        store.revert_to("0001").await.map(drop),
    ];
    for answer in answers {
        let Err(fault @ Error::Newer { .. }) = answer else {
            panic!("{answer:?}");
        };
        let words = fault.to_string();
        assert!(
            words.contains("newer version of this program") && words.contains("9999"),
            "{words}"
        );
    }
    assert_eq!(store.build(build.id).await, Ok(build), "nothing was changed");
}

fn tables(place: &Place) -> &'static str {
    if place.is_sqlite() {
        "SELECT name AS value FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    } else {
        "SELECT tablename::text AS value FROM pg_tables WHERE schemaname = 'public'"
    }
}

#[tokio::test]
async fn a_postgresql_that_is_down_is_named_but_its_password_is_not() {
    let mut settings = Settings::new("postgres://ann:secret@127.0.0.1:1/fleet");
    settings.busy_timeout = Duration::from_millis(500);
    let fault = Store::open(&settings)
        .await
        .expect_err("nobody listens on port 1");
    let Error::Unavailable(words) = &fault else {
        panic!("{fault:?}");
    };
    assert!(words.contains("127.0.0.1"), "{words}");
    assert!(!words.contains("secret"), "{words}");
}

#[tokio::test]
async fn a_url_that_cannot_work_stops_the_start() {
    for url in [
        "mysql://host/db",
        "sqlite://:memory:",
        "postgres://db.example/d",
        "postgres://h/d?sslmode=verify-full",
    ] {
        let opened = Store::open(&Settings::new(url)).await;
        assert!(matches!(opened, Err(Error::Settings(_))), "{url}: {opened:?}");
    }
    let opened = Store::open(&Settings::new("/no/such/folder/tidegate.db")).await;
    assert!(matches!(opened, Err(Error::Unavailable(words)) if words.contains("/no/such/folder")));
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_sqlite_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::sqlite();
    let store = place.store().await;
    upload(&store, APP, 1).await;
    let Place::Sqlite(folder) = &place else {
        unreachable!("it was just made");
    };
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().collect();
    assert!(files.len() > 1, "the log is beside it");
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", file.path().display());
    }
}

#[tokio::test]
async fn sqlite_keeps_what_it_acknowledged() {
    let place = Place::sqlite();
    let store = place.store().await;
    let build = upload(&store, APP, 1).await;
    drop(store);
    assert_eq!(
        place.texts("SELECT journal_mode AS value FROM pragma_journal_mode"),
        ["wal"]
    );
    assert_eq!(place.store().await.build(build.id).await, Ok(build));
}
