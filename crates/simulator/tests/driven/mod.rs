//! A server's clock that follows a driver, as `tidegate serve --clock` does.

use std::path::Path;
use std::time::Duration;

use tidegate_simulator::clock::{Now, Peer, Reading};
use tidegate_testkit::clock::ManualClock;
use tidegate_testkit::server::TestServer;

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
