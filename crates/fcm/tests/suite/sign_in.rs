//! Access tokens: fetched once, renewed in time, refused for good.

#![allow(clippy::disallowed_methods, reason = "a test may look at any clock")]

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_fcm::stand_in::{Answer, StandIn};
use tidegate_fcm::{Client, Decision, Error};

use crate::{client, client_of, message, pair};

async fn send_at_once(client: &Client, messages: usize) -> Vec<Result<(), Error>> {
    let mut all = tokio::task::JoinSet::new();
    for number in 0..messages {
        let client = client.clone();
        all.spawn(async move { client.send(&message(&format!("t{number}"))).await });
    }
    all.join_all().await
}

#[tokio::test]
async fn many_messages_sign_in_once() {
    let (fcm, client) = pair().await;
    fcm.set_latency(Duration::from_millis(20));
    let sent = send_at_once(&client, 100).await;
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    assert_eq!(fcm.counts().sign_ins, 1);
    assert_eq!(fcm.counts().taken, 100);
}

#[tokio::test]
async fn a_token_that_ends_on_the_way_is_renewed_once_for_all() {
    let (fcm, client) = pair().await;
    client.send(&message("first")).await.unwrap();
    fcm.expire_tokens();
    let sent = send_at_once(&client, 50).await;
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    assert_eq!(fcm.counts().sign_ins, 2);
}

#[tokio::test]
async fn a_token_is_renewed_five_minutes_before_its_end() {
    fn in_54_minutes() -> DateTime<Utc> {
        Utc::now() + TimeDelta::minutes(54)
    }
    let (fcm, _) = pair().await;
    // This clock is wrong for Google, too: it takes an assertion of the future for none.
    let early = client(&fcm, |options| options.now = in_54_minutes);
    let error = early.send(&message("t")).await.unwrap_err();
    assert!(error.to_string().contains("clock"), "{error}");

    fcm.set_token_life(Duration::from_secs(302));
    let short = client(&fcm, |_| {});
    for _ in 0..3 {
        short.send(&message("t")).await.unwrap();
    }
    assert_eq!(fcm.counts().sign_ins, 1, "a short life is used for half of it");
}

#[tokio::test]
async fn a_token_that_is_refused_at_once_stops_the_sender() {
    let (fcm, client) = pair().await;
    fcm.answer_all(Some(Answer::Unauthorized));
    let error = client.send(&message("t")).await.unwrap_err();
    assert_eq!(error, Error::FreshTokenRefused);
    assert_eq!(error.what_to_do(), Decision::Stop);
    assert_eq!(fcm.counts().requests, 2, "one renewal, one more try");
}

#[tokio::test]
async fn invalid_grant_is_final_and_asked_for_once() {
    let (fcm, client) = pair().await;
    fcm.set_latency(Duration::from_millis(50));
    fcm.refuse_sign_in(Some((400, "invalid_grant")));
    let sent = send_at_once(&client, 20).await;
    for error in sent.into_iter().map(Result::unwrap_err) {
        assert_eq!(error.what_to_do(), Decision::Stop, "{error}");
    }
    assert_eq!(
        fcm.counts().refused_sign_ins,
        1,
        "those that waited learn it from the same answer"
    );
    assert_eq!(fcm.counts().requests, 0);
}

#[tokio::test]
async fn an_oauth_server_that_is_away_is_asked_again() {
    let (fcm, client) = pair().await;
    fcm.refuse_sign_in(Some((503, "")));
    let error = client.send(&message("t")).await.unwrap_err();
    assert_eq!(error.what_to_do(), Decision::Retry { after: None });
    fcm.refuse_sign_in(None);
    client.send(&message("t")).await.unwrap();
}

#[tokio::test]
async fn another_accounts_key_is_refused() {
    let (fcm, _) = pair().await;
    let other = StandIn::start().await.unwrap();
    let mut account: serde_json::Value = serde_json::from_str(&other.service_account()).unwrap();
    account["token_uri"] = format!("{}/token", fcm.endpoint()).into();
    let client = client_of(&account.to_string(), &fcm.endpoint(), |_| {});
    let error = client.send(&message("t")).await.unwrap_err();
    assert!(
        matches!(&error, Error::SignInRefused { code, .. } if code == "invalid_grant"),
        "{error:?}"
    );
}
