//! Makes and starts the sender of nudges.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use chrono::TimeDelta;
use tidegate_fcm::{Backoff, Client, MAX_ACCOUNT_BYTES, Options, ServiceAccount, TrustedUrl};
use tidegate_service::{Clock, Counters, Sender, SenderSettings};
use tidegate_signing::KeyRing;
use tidegate_storage::Store;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::FcmConfig;
use crate::{Error, choose_cryptography};

/// FCM and how to use it: what the settings say, checked before a port is bound.
pub(crate) struct Nudging {
    client: Client,
    settings: SenderSettings,
    wake: Arc<Notify>,
}

impl Nudging {
    /// `None` when no service account is set.
    pub(crate) fn open(config: &FcmConfig) -> Result<Option<Self>, Error> {
        let Some(path) = &config.service_account else {
            return Ok(None);
        };
        choose_cryptography();
        let fault = |fault: tidegate_fcm::Error| Error::unusable("fcm_service_account")(&fault);
        let account = ServiceAccount::from_json(&read(path)?).map_err(fault)?;
        let endpoint = TrustedUrl::parse("fcm_endpoint", &config.endpoint)
            .map_err(|fault| Error::unusable("fcm_endpoint")(&fault))?;
        let options = Options {
            timeout: config.timeout,
            ..Options::new(endpoint)
        };
        let client = Client::new(account, options).map_err(fault)?;
        tracing::info!(
            event = "ota.nudge.ready",
            project = client.project_id(),
            endpoint = config.endpoint
        );
        Ok(Some(Self {
            client,
            settings: SenderSettings {
                max_per_second: config.max_per_second,
                ramp: config.ramp,
                lease: TimeDelta::from_std(config.lease).unwrap_or(TimeDelta::MAX),
                fresh_for: TimeDelta::from_std(config.fresh_for()).unwrap_or_default(),
                backoff: Backoff {
                    first: config.first_retry,
                    ..Backoff::default()
                },
                unreachable_after: config.unreachable_after,
                ..SenderSettings::default()
            },
            wake: Arc::default(),
        }))
    }

    /// Notified when there is something to send.
    pub(crate) fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// Starts sending.
    pub(crate) fn start(
        self,
        store: Store,
        keys: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        counts: Arc<Counters>,
        stop: CancellationToken,
    ) -> JoinHandle<()> {
        let sender = Sender::new(store, self.client, keys, clock, self.settings, self.wake, counts);
        tokio::spawn(sender.run(stop))
    }
}

fn read(path: &Path) -> Result<String, Error> {
    let mut text = String::new();
    let limit = MAX_ACCOUNT_BYTES as u64 + 1;
    File::open(path)
        .and_then(|file| file.take(limit).read_to_string(&mut text))
        .map_err(Error::file(path))?;
    Ok(text)
}
