//! Messages arrive whole, over few connections.

use std::time::Duration;

use tidegate_fcm::stand_in::{MAX_KEPT_MESSAGES, Received};
use tidegate_fcm::{Error, Priority};

use crate::{client, message, pair};

#[tokio::test]
async fn a_message_arrives_as_it_was_meant() {
    let (fcm, client) = pair().await;
    let mut urgent = message("device");
    urgent.priority = Priority::High;
    urgent.collapse_key = Some("ota".to_owned());
    client.send(&urgent).await.unwrap();
    let expected = Received {
        token: "device".to_owned(),
        data: urgent.data,
        priority: "HIGH".to_owned(),
        ttl: 300,
        collapse_key: urgent.collapse_key,
    };
    assert_eq!(fcm.messages(), [expected]);
}

#[tokio::test]
async fn a_thousand_messages_share_a_few_connections_and_little_is_kept() {
    let (fcm, client) = pair().await;
    fcm.set_latency(Duration::from_millis(5));
    let mut all = tokio::task::JoinSet::new();
    for number in 0..MAX_KEPT_MESSAGES + 50 {
        let client = client.clone();
        all.spawn(async move { client.send(&message(&format!("t{number}"))).await.unwrap() });
    }
    all.join_all().await;
    // Two for messages, one for signing in.
    assert_eq!(fcm.counts().connections, 3);
    assert_eq!(fcm.messages().len(), MAX_KEPT_MESSAGES);
    assert_eq!(fcm.tokens_by_messages(), [(1, 1050)].into());
}

#[tokio::test]
async fn http_1_1_works_too() {
    let (fcm, _) = pair().await;
    let old = client(&fcm, |options| options.http1_only = true);
    for _ in 0..3 {
        old.send(&message("t")).await.unwrap();
    }
    assert_eq!(fcm.taken_of("t"), 3);
}

#[tokio::test]
async fn what_is_over_a_limit_is_not_sent() {
    let (fcm, client) = pair().await;
    let mut large = message("t");
    large.data.insert("k".to_owned(), "x".repeat(5000));
    assert!(matches!(client.send(&large).await, Err(Error::Message(_))));
    assert_eq!(fcm.counts().requests, 0);
}
