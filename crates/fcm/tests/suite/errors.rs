//! Every row of FCM's table of errors, as the sender sees it.

use std::time::Duration;

use tidegate_fcm::stand_in::{Answer, PROJECT};
use tidegate_fcm::{Decision, Error};

use crate::{client, client_of, message, pair};

const RETRY: Decision = Decision::Retry { after: None };

fn after(seconds: u64) -> Decision {
    Decision::Retry {
        after: Some(Duration::from_secs(seconds)),
    }
}

#[tokio::test]
async fn each_answer_is_the_decision_of_the_table() {
    let (fcm, client) = pair().await;
    let wait = |text: &str| Some(text.to_owned());
    let table = [
        (Answer::Unregistered, Decision::ForgetToken),
        (Answer::InvalidArgument, Decision::Drop),
        (Answer::SenderIdMismatch, Decision::Drop),
        (Answer::ThirdPartyAuth, Decision::Drop),
        (Answer::Forbidden, Decision::Stop),
        (Answer::NotFound, Decision::Stop),
        (Answer::QuotaExceeded(None), after(60)),
        (Answer::QuotaExceeded(wait("7")), after(7)),
        (Answer::Unavailable(None), RETRY),
        (Answer::Unavailable(wait("90")), after(90)),
        (
            Answer::Unavailable(wait("Sun, 06 Nov 1994 08:49:37 GMT")),
            after(0),
        ),
        (Answer::Internal, RETRY),
        (Answer::Page, RETRY),
        (Answer::Reset, RETRY),
    ];
    for (number, (answer, decision)) in table.into_iter().enumerate() {
        let token = format!("token-{number}");
        fcm.answer_token(&token, [answer.clone()]);
        let error = client.send(&message(&token)).await.unwrap_err();
        assert_eq!(error.what_to_do(), decision, "{answer:?}: {error}");
        assert_eq!(fcm.taken_of(&token), 0);
    }
}

#[tokio::test]
async fn a_code_outweighs_the_status_and_only_one_forgets() {
    let (fcm, client) = pair().await;
    let mut forgotten = vec![];
    for (token, answer) in [
        ("a", Answer::NotFound),
        ("b", Answer::Unregistered),
        ("c", Answer::Forbidden),
        ("d", Answer::SenderIdMismatch),
        ("e", Answer::InvalidArgument),
    ] {
        fcm.answer_token(token, [answer]);
        let error = client.send(&message(token)).await.unwrap_err();
        forgotten.extend((error.what_to_do() == Decision::ForgetToken).then_some(token));
    }
    assert_eq!(forgotten, ["b"]);
}

#[tokio::test]
async fn another_project_than_the_servers_forgets_no_token() {
    let (fcm, _) = pair().await;
    let client = client_of(
        &fcm.service_account_of("another-project"),
        &fcm.endpoint(),
        |_| {},
    );
    let error = client.send(&message("t")).await.unwrap_err();
    assert_eq!(error.what_to_do(), Decision::Stop);
    assert!(error.to_string().contains("another-project"), "{error}");
    assert_ne!(PROJECT, "another-project");
}

#[tokio::test]
async fn an_answer_that_never_comes_is_waited_for_no_longer_than_the_timeout() {
    let (fcm, _) = pair().await;
    let client = client(&fcm, |options| options.timeout = Duration::from_millis(200));
    client.send(&message("warm")).await.unwrap();
    fcm.answer_token("t", [Answer::Hang]);
    let error = client.send(&message("t")).await.unwrap_err();
    assert_eq!(error, Error::Timeout(Duration::from_millis(200)));
    assert_eq!(error.what_to_do(), RETRY);
    client.send(&message("next")).await.unwrap();
}

#[tokio::test]
async fn a_broken_connection_is_told_and_made_anew() {
    let (fcm, client) = pair().await;
    client.send(&message("t")).await.unwrap();
    fcm.answer_token("t", [Answer::TakeAndReset, Answer::Take]);
    let error = client.send(&message("t")).await.unwrap_err();
    assert!(matches!(error, Error::Connection(_)), "{error:?}");
    client.send(&message("t")).await.unwrap();
    // The message of the broken connection had been taken: the receiver has to expect that.
    assert_eq!(fcm.taken_of("t"), 3);
}

#[tokio::test]
async fn nobody_at_the_address_is_a_reason_to_try_again() {
    let (fcm, _) = pair().await;
    let account = fcm.service_account();
    let endpoint = fcm.endpoint();
    drop(fcm);
    let error = client_of(&account, &endpoint, |_| {})
        .send(&message("t"))
        .await
        .unwrap_err();
    assert_eq!(error.what_to_do(), RETRY, "{error}");
}
