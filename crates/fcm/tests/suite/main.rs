//! The client against the stand-in, over real sockets.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod accounts;
mod errors;
mod sending;
mod sign_in;
mod versions;

use std::time::Duration;

use tidegate_fcm::stand_in::StandIn;
use tidegate_fcm::{Client, Message, Options, Priority, ServiceAccount, TrustedUrl};

/// Long enough for a busy machine, short enough to wait for once.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A stand-in and a client that is signed up with it.
async fn pair() -> (StandIn, Client) {
    let fcm = StandIn::start().await.unwrap();
    let client = client(&fcm, |_| {});
    (fcm, client)
}

fn client(fcm: &StandIn, change: impl FnOnce(&mut Options)) -> Client {
    client_of(&fcm.service_account(), &fcm.endpoint(), change)
}

fn client_of(account: &str, endpoint: &str, change: impl FnOnce(&mut Options)) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut options = Options::new(TrustedUrl::parse("endpoint", endpoint).unwrap());
    options.timeout = TIMEOUT;
    options.connections = 2;
    change(&mut options);
    Client::new(ServiceAccount::from_json(account).unwrap(), options).unwrap()
}

fn message(token: &str) -> Message {
    Message {
        token: token.to_owned(),
        data: [("action".to_owned(), "update".to_owned())].into(),
        priority: Priority::Normal,
        ttl: Duration::from_secs(300),
        collapse_key: None,
    }
}
