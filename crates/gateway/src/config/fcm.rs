//! How nudges are sent.

use std::path::PathBuf;
use std::time::Duration;

use tidegate_fcm::{DEFAULT_ENDPOINT, MIN_TIMEOUT, TrustedUrl};

use super::layers::Layers;
use super::{SECOND, forms, set};

/// FCM allows a project 600,000 messages a minute.
const MAX_PER_SECOND: u32 = 10_000;

/// What is left of a lease beside a message's longest way, for waiting before it is sent.
const MIN_FRESH: Duration = Duration::from_secs(10);

const HOUR: Duration = Duration::from_secs(3600);

/// How nudges are sent.
#[derive(Clone, Debug)]
pub struct FcmConfig {
    /// The service account's file; `None`: this server cannot nudge.
    pub service_account: Option<PathBuf>,
    /// Where FCM is.
    pub endpoint: String,
    /// Messages a second at most.
    pub max_per_second: u32,
    /// How long the rate takes to rise to that.
    pub ramp: Duration,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// The shortest wait before a message is tried again.
    pub first_retry: Duration,
    /// How long a claimed delivery belongs to this server. Must outlast a message's whole way.
    pub lease: Duration,
    /// How long FCM may be out of reach before campaigns are suspended.
    pub unreachable_after: Duration,
}

impl Default for FcmConfig {
    fn default() -> Self {
        Self {
            service_account: None,
            endpoint: DEFAULT_ENDPOINT.to_owned(),
            max_per_second: 9000,
            ramp: 60 * SECOND,
            timeout: MIN_TIMEOUT,
            first_retry: 10 * SECOND,
            lease: 60 * SECOND,
            unreachable_after: 300 * SECOND,
        }
    }
}

impl FcmConfig {
    pub(super) fn take(&mut self, given: &mut Layers) {
        let file = |text: &str| forms::not_empty(text).map(PathBuf::from);
        self.service_account = given.take("fcm_service_account", file);
        set(&mut self.endpoint, given.take("fcm_endpoint", endpoint));
        let rate = forms::number(1..=MAX_PER_SECOND);
        set(&mut self.max_per_second, given.take("fcm_max_per_second", rate));
        let ramp = forms::duration(Duration::ZERO..=HOUR);
        set(&mut self.ramp, given.take("fcm_ramp", ramp));
        let timeout = forms::duration(MIN_TIMEOUT..=60 * SECOND);
        set(&mut self.timeout, given.take("fcm_timeout", timeout));
        let wait = forms::duration(SECOND..=HOUR);
        set(&mut self.first_retry, given.take("fcm_first_retry", wait));
        let lease = forms::duration(15 * SECOND..=HOUR);
        set(&mut self.lease, given.take("fcm_lease", lease));
        let away = forms::duration(SECOND..=HOUR);
        set(
            &mut self.unreachable_after,
            given.take("fcm_unreachable_after", away),
        );
        if self.lease < self.longest_way() + MIN_FRESH {
            given.fault(
                "fcm_lease",
                "must be at least ten seconds longer than four times fcm_timeout",
            );
        }
    }

    /// A message may take two tries, each after a sign-in.
    fn longest_way(&self) -> Duration {
        4 * self.timeout
    }

    /// How long a delivery may wait after it was claimed, so that the claim still holds when its answer comes.
    pub(crate) fn fresh_for(&self) -> Duration {
        self.lease.saturating_sub(self.longest_way()).max(MIN_FRESH)
    }
}

/// Without a slash at the end.
fn endpoint(text: &str) -> Result<String, String> {
    let url = TrustedUrl::parse("", text).map_err(|fault| fault.to_string().trim_start().to_owned())?;
    Ok(url.as_str().to_owned())
}
