//! A server's clock that follows a driver, as `tidegate serve --clock` does.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tidegate_agent::domain::Role;
use tidegate_agent::signing::ExposeSecret;
use tidegate_simulator::Token;
use tidegate_simulator::clock::{ClockDriver, Now, Peer, Reading};
use tidegate_testkit::clock::ManualClock;
use tidegate_testkit::server::TestServer;

/// A driver that the server's clock follows, and a token that outlasts the fleet's weeks.
pub(crate) async fn drive(server: &TestServer) -> (Arc<ClockDriver>, Token) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clock");
    let clock = ClockDriver::listen(&path).await.unwrap();
    follow(server, &path);
    let now = clock.wait_for_server(Duration::from_secs(30)).await.unwrap();
    let token = server
        .keys()
        .admin_token("simulate", Role::Admin, TimeDelta::days(300), now);
    let token = Token(token.unwrap().expose_secret().to_owned());
    (Arc::new(clock), token)
}

/// Lets the server's clock follow whoever drives one at this path, now or later, for as long as they do.
pub(crate) fn follow(server: &TestServer, path: &Path) {
    let (clock, path) = (server.shared_clock(), path.to_owned());
    tokio::spawn(async move {
        loop {
            let Err(error) = obey(&path, &clock).await;
            if error.kind() == std::io::ErrorKind::UnexpectedEof {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

async fn obey(path: &Path, clock: &ManualClock) -> std::io::Result<std::convert::Infallible> {
    let mut driver = Peer::connect(path).await?;
    driver.say(&Now(clock.read())).await?;
    loop {
        let reading: Reading = driver.hear().await?;
        clock.set(reading.at);
        driver.say(&Now(clock.read())).await?;
    }
}
