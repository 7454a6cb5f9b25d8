//! Users: their passwords, their tokens, and how often somebody may guess.

use std::net::IpAddr;
use std::time::Duration;

use chrono::TimeDelta;
use tidegate_domain::Role;
use tidegate_service::{
    Error, Kind, LOGIN_HOURS, LOGIN_PAUSE_MINUTES, Login, LoginFrom, MAX_FAILURES_PER_ADDRESS,
    MAX_FAILURES_PER_NAME,
};
use tidegate_signing::{ExposeSecret, SecretString};

use crate::instance::{Instance, admin, operator, refusal};

const PASSWORD: &str = "correct horse battery";

/// An instance with the user olga.
async fn with_olga() -> Instance {
    let instance = Instance::start().await;
    let added = instance
        .users
        .add(admin(), "olga", Role::Operator, PASSWORD.into());
    added.await.unwrap();
    instance
}

impl Instance {
    async fn log_in(&self, name: &str, password: &str) -> Result<Login, Error> {
        let from = LoginFrom::default();
        self.users.log_in(name, SecretString::from(password), &from).await
    }
}

#[tokio::test]
async fn a_login_gives_a_token_that_holds_twelve_hours_by_the_clock() {
    let instance = with_olga().await;
    let login = instance.log_in("olga", PASSWORD).await.unwrap();
    assert_eq!(login.role, Role::Operator);
    let actor = || instance.authenticator.actor(login.token.expose_secret(), None);
    instance
        .clock
        .advance(TimeDelta::hours(LOGIN_HOURS) - TimeDelta::minutes(1));
    let olga = actor().unwrap();
    assert_eq!((olga.subject.as_str(), olga.role), ("olga", Role::Operator));
    instance.clock.advance(TimeDelta::minutes(1));
    assert_eq!(refusal(actor()), (Kind::Unauthenticated, "invalid_token"));
}

#[tokio::test]
async fn a_user_is_added_by_an_admin_once_with_a_fair_name_and_password() {
    let instance = with_olga().await;
    let add = |actor, name, password: &str| {
        let password = SecretString::from(password);
        let users = &instance.users;
        async move { users.add(actor, name, Role::Viewer, password).await }
    };
    let denied = add(operator(), "omar", PASSWORD).await;
    assert_eq!(refusal(denied), (Kind::Forbidden, "role_too_low"));
    let again = add(admin(), "olga", PASSWORD).await;
    assert_eq!(refusal(again), (Kind::Exists, "exists_already"));
    for (name, password, field) in [("a b", PASSWORD, "name"), ("omar", "short", "password")] {
        let refused = add(admin(), name, password).await.unwrap_err();
        assert_eq!(
            (refused.kind, refused.field.as_deref()),
            (Kind::Invalid, Some(field))
        );
    }
    assert_eq!(
        refusal(instance.log_in("omar", PASSWORD).await).1,
        "login_refused"
    );
}

#[tokio::test]
async fn a_name_that_failed_too_often_pauses_for_a_quarter_of_an_hour() {
    let instance = with_olga().await;
    for _ in 0..MAX_FAILURES_PER_NAME {
        let refused = refusal(instance.log_in("olga", "wrong").await);
        assert_eq!(refused, (Kind::Unauthenticated, "login_refused"));
    }
    let paused = instance.log_in("olga", PASSWORD).await.err().unwrap();
    assert_eq!(
        (paused.kind, paused.code),
        (Kind::Exhausted, "too_many_failed_logins")
    );
    let pause = Duration::from_secs(15 * 60);
    let wait = paused.retry_after.unwrap();
    assert!(wait <= pause && wait > pause - Duration::from_secs(1), "{wait:?}");

    instance
        .clock
        .advance(TimeDelta::minutes(LOGIN_PAUSE_MINUTES) - TimeDelta::seconds(1));
    assert!(instance.log_in("olga", PASSWORD).await.is_err());
    instance.clock.advance(TimeDelta::seconds(1));
    instance.log_in("olga", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_success_begins_the_count_anew() {
    let instance = with_olga().await;
    for _ in 0..2 {
        for _ in 1..MAX_FAILURES_PER_NAME {
            assert!(instance.log_in("olga", "wrong").await.is_err());
        }
        instance.log_in("olga", PASSWORD).await.unwrap();
    }
}

#[tokio::test]
async fn an_address_pauses_whatever_names_it_tries() {
    let instance = with_olga().await;
    let log_in = async |name: &str, password: &str, last| {
        let from = LoginFrom {
            address: Some(IpAddr::from([192, 0, 2, last])),
            ..LoginFrom::default()
        };
        instance.users.log_in(name, password.into(), &from).await
    };
    for number in 0..MAX_FAILURES_PER_ADDRESS {
        let name = format!("name-{number}");
        let guess = log_in(&name, "wrong", 1).await;
        assert_eq!(refusal(guess).1, "login_refused");
    }
    assert_eq!(
        refusal(log_in("olga", PASSWORD, 1).await),
        (Kind::Exhausted, "too_many_failed_logins")
    );
    log_in("olga", PASSWORD, 2).await.unwrap();
    instance.clock.advance(TimeDelta::minutes(LOGIN_PAUSE_MINUTES));
    log_in("olga", PASSWORD, 1).await.unwrap();
}
