//! Servers that run on a database, and the migrations that wait for them.

use tidegate_storage::{Error, HEARTBEAT_FRESH_FOR, Store};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{APP, at, upload};

on_both_engines!(
    tables_do_not_change_under_a_server,
    a_server_that_fell_silent_holds_nobody_up,
    servers_come_and_go,
    servers_are_listed_with_their_heartbeats,
);

/// A database from which the last migration but the table of servers was lost: something is to be done.
fn unfinish(place: &Place) {
    let sql = "DELETE FROM __diesel_schema_migrations WHERE version = '0006'";
    assert_eq!(place.execute(sql), Ok(1));
}

fn is_refused<T: std::fmt::Debug>(answer: Result<T, Error>) {
    let Err(fault @ Error::OtherServers { .. }) = answer else {
        panic!("{answer:?}");
    };
    let words = fault.to_string();
    assert!(
        words.starts_with("another server (version 0.1.0, one) was seen on this database "),
        "{words}"
    );
    assert!(words.contains("silent for 30 s"), "{words}");
}

async fn tables_do_not_change_under_a_server(place: &Place) {
    let store = place.store().await;
    let build = upload(&store, APP, 1).await;
    store.announce("one", "0.1.0", at(0)).await.unwrap();

    is_refused(store.revert().await);
    is_refused(store.revert_to("0003").await);
    assert_eq!(store.pending().await, Ok(vec![]), "nothing was taken back");
    assert_eq!(store.build(build.id).await, Ok(build));
    assert_eq!(store.revert_to("9999").await, Ok(vec![]), "nothing is to be done");
    assert_eq!(store.migrate().await, Ok(vec![]), "nothing is to be done");
    Store::open(&place.settings())
        .await
        .expect("a second server starts");

    unfinish(place);
    is_refused(store.migrate().await);
    is_refused(Store::open(&place.settings()).await);
    assert_eq!(store.pending().await.unwrap().len(), 1, "who asks is answered");
    place
        .execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('0006')")
        .unwrap();

    store.leave("one").await.unwrap();
    assert!(!store.revert().await.unwrap().is_empty());
}

async fn a_server_that_fell_silent_holds_nobody_up(place: &Place) {
    let store = place.store().await;
    store.announce("one", "0.1.0", at(0)).await.unwrap();
    let age = |seconds: u64| {
        let sql = format!("UPDATE servers SET seen_at = seen_at - {seconds} * 1000000");
        assert_eq!(place.execute(&sql), Ok(1));
    };
    let fresh_for = HEARTBEAT_FRESH_FOR.as_secs();
    age(fresh_for - 10);
    is_refused(store.revert().await);
    age(10);
    assert!(!store.revert().await.unwrap().is_empty());
}

async fn servers_are_listed_with_their_heartbeats(place: &Place) {
    let store = place.store().await;
    assert_eq!(store.servers().await, Ok(vec![]));
    store.announce("one", "0.1.0", at(0)).await.unwrap();
    place
        .execute("UPDATE servers SET seen_at = seen_at - 60000000")
        .unwrap();
    store.announce("two", "0.2.0", at(5)).await.unwrap();

    let servers = store.servers().await.unwrap();
    let told: Vec<_> = servers
        .iter()
        .map(|server| {
            (
                &*server.id,
                &*server.version,
                server.started_at,
                server.is_fresh(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [("two", "0.2.0", at(5), true), ("one", "0.1.0", at(0), false)]
    );
    let ago: Vec<_> = servers.iter().map(|server| server.seen_ago.as_secs()).collect();
    assert!(ago[0] < 30 && (60..90).contains(&ago[1]), "{ago:?}");

    store.leave("two").await.unwrap();
    assert_eq!(store.servers().await.unwrap().len(), 1);
}

async fn servers_come_and_go(place: &Place) {
    let store = place.store().await;
    let ids = || place.texts("SELECT id AS value FROM servers ORDER BY id");
    for id in ["one", "other", "one"] {
        store.announce(id, "0.1.0", at(7)).await.unwrap();
    }
    assert_eq!(ids(), ["one", "other"]);
    let own = "SELECT seen_at AS value FROM servers WHERE id = 'one'";
    let (seen, started) = (place.number(own), at(7).timestamp_micros());
    let kept = "SELECT started_at AS value FROM servers WHERE id = 'one'";
    assert_eq!(place.number(kept), started);
    store.announce("one", "0.2.0", at(9)).await.unwrap();
    assert!(place.number(own) > seen, "by the database's clock");
    assert_eq!(place.number(kept), started);
    assert_eq!(
        place.texts("SELECT version AS value FROM servers WHERE id = 'one'"),
        ["0.2.0"]
    );

    // A server that ended without telling so is forgotten after a day.
    place
        .execute("UPDATE servers SET seen_at = seen_at - 90000000000 WHERE id = 'other'")
        .unwrap();
    store.announce("one", "0.2.0", at(10)).await.unwrap();
    assert_eq!(ids(), ["one"]);
    store.leave("one").await.unwrap();
    store.leave("nobody").await.unwrap();
    assert_eq!(ids(), Vec::<String>::new());
}
