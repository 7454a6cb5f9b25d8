//! How slowly an upload may come.
//!
//! There are few places for uploads. A sender that brings some bytes now and then would hold one as long as it likes, so
//! each period of waiting for the sender has to bring what the rate asks for. Only waiting counts: what the server
//! itself takes for its disk is not the sender's fault.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use crate::{Error, Kind};

/// How long an upload is waited for before its rate is looked at, and again after each such time.
pub const UPLOAD_GRACE: Duration = Duration::from_secs(30);

/// The pace of one upload.
pub struct UploadPace {
    /// Bytes a second; an upload that brings nothing at all is too slow even at 0.
    least: u64,
    waited: Duration,
    bytes: u64,
}

impl UploadPace {
    /// `least`: so many bytes a second have to come.
    pub(crate) fn new(least: u64) -> Self {
        Self {
            least,
            waited: Duration::ZERO,
            bytes: 0,
        }
    }

    /// Bytes have come.
    pub fn brought(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Waits for what the upload brings next.
    ///
    /// # Errors
    /// [`Kind::TooSlow`] when the last [`UPLOAD_GRACE`] brought less than the rate asks for.
    pub async fn next<T>(&mut self, part: impl Future<Output = T>) -> Result<T, Error> {
        let mut part = std::pin::pin!(part);
        loop {
            #[allow(clippy::disallowed_methods, reason = "how long it really takes")]
            let begun = Instant::now();
            let left = UPLOAD_GRACE.saturating_sub(self.waited);
            let came = tokio::time::timeout(left, &mut part).await;
            self.waited += begun.elapsed();
            match came {
                Ok(part) => return Ok(part),
                Err(_) => self.judge()?,
            }
        }
    }

    /// Begins a new period, if the last one brought enough.
    fn judge(&mut self) -> Result<(), Error> {
        let wanted = self.least.saturating_mul(UPLOAD_GRACE.as_secs()).max(1);
        if self.bytes < wanted {
            let message = format!(
                "the upload brought {} bytes within {} seconds and was broken off; it has to bring {wanted}",
                self.bytes,
                UPLOAD_GRACE.as_secs(),
            );
            return Err(Error::new(Kind::TooSlow, "upload_too_slow", message));
        }
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Brings so many bytes every so often, for ten minutes or until it is broken off.
    async fn send(least: u64, bytes: usize, every: Duration) -> Result<(), Error> {
        let mut pace = UploadPace::new(least);
        for _ in 0..600 / every.as_secs() {
            pace.next(tokio::time::sleep(every)).await?;
            pace.brought(bytes);
        }
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_has_to_bring_something_and_as_much_as_the_rate_asks_for() {
        let second = Duration::from_secs(1);
        assert_eq!(send(1000, 1100, second).await, Ok(()));
        assert_eq!(send(1000, 11_000, 10 * second).await, Ok(()));
        let slow = send(1000, 64, 15 * second).await.unwrap_err();
        assert_eq!((slow.kind, slow.code), (Kind::TooSlow, "upload_too_slow"));
        assert!(slow.message.contains("30000"), "{slow}");
        assert_eq!(send(0, 1, 15 * second).await, Ok(()));
        assert!(send(0, 0, 15 * second).await.is_err());
        assert!(send(0, 1, 120 * second).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_server_takes_is_not_the_senders_fault() {
        let mut pace = UploadPace::new(1000);
        for _ in 0..10 {
            tokio::time::sleep(10 * UPLOAD_GRACE).await;
            assert_eq!(pace.next(std::future::ready(7)).await, Ok(7));
        }
    }
}
