//! One virtual device: what an agent on a phone does, without the phone.
//!
//! It polls when it is told to, fetches what it is offered from the signed URL, checks size, hash, signature and
//! signer of the file that came, and reports. Only the installing is played. A few devices meet what phones meet:
//! a full disk, an empty battery, a damaged download, hardware that a build does not run on.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tidegate_apk::SdkRange;
use tokio::sync::Semaphore;

use super::PACKAGE;
use super::builds::SAMPLES;
use crate::Error;

/// How long a device waits after an answer that it can do nothing with.
const TRY_AGAIN: Duration = Duration::from_secs(3);

/// The largest file that a device takes into memory, in bytes.
const MAX_FILE_BYTES: i64 = 64 << 20;

/// `PackageInstaller.STATUS_FAILURE_STORAGE`: no room; it may work later.
const NO_ROOM: i64 = 6;

/// `PackageInstaller.STATUS_FAILURE_INCOMPATIBLE`: it will never work on this device.
const INCOMPATIBLE: i64 = 7;

/// What all devices share.
pub(super) struct Network {
    pub(super) http: Client,
    pub(super) base: String,
    /// Bounds how many devices talk at once.
    pub(super) places: Semaphore,
}

/// A virtual device.
pub(super) struct Device {
    number: u32,
    id: String,
    sdk: u32,
    network: Arc<Network>,
    token: String,
    /// The version code that it runs.
    pub(super) installed: i64,
    /// How often it tried the build that it tried last.
    tries: (i64, u32),
}

/// What a poll brought.
enum Poll {
    Offer(Value, Duration),
    Nothing(Duration),
    /// The token was revoked.
    LockedOut,
}

/// What a device reports.
struct Outcome {
    status: &'static str,
    reason: Option<&'static str>,
    android_status: Option<i64>,
}

impl Outcome {
    const fn of(status: &'static str) -> Self {
        Self {
            status,
            reason: None,
            android_status: None,
        }
    }

    const fn because(status: &'static str, reason: &'static str, android_status: Option<i64>) -> Self {
        Self {
            status,
            reason: Some(reason),
            android_status,
        }
    }
}

impl Device {
    pub(super) fn new(number: u32, network: Arc<Network>) -> Self {
        Self {
            number,
            id: format!("phone-{number:04}"),
            sdk: 26 + number % 10,
            network,
            token: String::new(),
            installed: 0,
            tries: (0, 0),
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Becomes one of the fleet. The same device again is given the same token.
    pub(super) async fn enroll(&mut self, token: &str) -> Result<(), Error> {
        let regions = ["eu-north", "eu-west", "us-east"];
        let body = json!({
            "enrollment_token": token,
            "device_id": self.id,
            "alias": format!("Harbour {}", self.number),
            "model": if self.number.is_multiple_of(3) { "Kiosk 10" } else { "Buoy 4" },
            "manufacturer": "Example",
            "sdk": self.sdk,
            "region": regions[self.number as usize % regions.len()],
            "tags": if self.number.is_multiple_of(25) { vec!["lab"] } else { vec![] },
            "package_name": PACKAGE,
            "current_version_code": self.installed,
        });
        let _place = self.network.places.acquire().await;
        let request = self
            .network
            .http
            .post(format!("{}/v1/agent/enroll", self.network.base));
        let fault = |what: String| Error::Demo(format!("{} cannot enrol: {what}", self.id));
        let answer = request
            .json(&body)
            .send()
            .await
            .map_err(|error| fault(error.to_string()))?;
        let status = answer.status();
        let body: Value = answer.json().await.map_err(|error| fault(error.to_string()))?;
        if status != StatusCode::CREATED {
            return Err(fault(format!(
                "{status}: {}",
                body["detail"].as_str().unwrap_or_default()
            )));
        }
        self.token = body["device_token"].as_str().unwrap_or_default().to_owned();
        Ok(())
    }

    /// Polls, and acts on what it is told, until its token is revoked.
    pub(super) async fn live(mut self) {
        // Spreads the first polls over an interval, as a real fleet's are over six hours.
        tokio::time::sleep(super::POLL_INTERVAL.mul_f64(f64::from(self.number % 97) / 97.0)).await;
        loop {
            let wait = match self.poll().await {
                Ok(Poll::LockedOut) => return,
                Ok(Poll::Nothing(wait)) => wait,
                Ok(Poll::Offer(manifest, wait)) => {
                    // A lost answer is no harm: the next poll offers the build again.
                    let _ = self.update(&manifest).await;
                    wait
                }
                Err(_) => TRY_AGAIN,
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn poll(&self) -> reqwest::Result<Poll> {
        let _place = self.network.places.acquire().await;
        let query = [
            ("device_id", self.id.clone()),
            ("package_name", PACKAGE.to_owned()),
            ("current_version_code", self.installed.to_string()),
            ("sdk", self.sdk.to_string()),
        ];
        let request = self
            .network
            .http
            .get(format!("{}/v1/agent/update", self.network.base));
        let answer = request.query(&query).bearer_auth(&self.token).send().await?;
        let header = answer.headers().get("tidegate-poll-after");
        let seconds = header.and_then(|value| value.to_str().ok()?.parse().ok());
        let wait = seconds
            .map_or(TRY_AGAIN, Duration::from_secs)
            .max(Duration::from_secs(1));
        Ok(match answer.status() {
            StatusCode::OK => Poll::Offer(answer.json().await?, wait),
            StatusCode::UNAUTHORIZED => Poll::LockedOut,
            _ => Poll::Nothing(wait),
        })
    }

    /// Takes an offered build as far as it goes, reporting each step.
    async fn update(&mut self, manifest: &Value) -> reqwest::Result<()> {
        let build = manifest["build_id"].as_i64().unwrap_or_default();
        self.tries = if self.tries.0 == build {
            (build, self.tries.1 + 1)
        } else {
            (build, 1)
        };
        if self.waits() {
            return self
                .report(manifest, &Outcome::because("deferred", "battery_low", None))
                .await;
        }
        let Some(bytes) = self.download(manifest).await? else {
            return Ok(());
        };
        self.report(manifest, &Outcome::of("downloaded")).await?;
        if let Err(reason) = self.check(bytes, manifest).await {
            return self
                .report(manifest, &Outcome::because("verify_failed", reason, None))
                .await;
        }
        let version = manifest["version_code"].as_i64().unwrap_or_default();
        let outcome = self.install(version);
        self.report(manifest, &outcome).await?;
        if outcome.status == "install_success" {
            self.installed = version;
        }
        Ok(())
    }

    /// The file's bytes; `None` when the server would not give them.
    async fn download(&self, manifest: &Value) -> reqwest::Result<Option<Vec<u8>>> {
        let _place = self.network.places.acquire().await;
        let size = manifest["file_size"].as_i64().unwrap_or(i64::MAX);
        let url = manifest["download_url"].as_str().unwrap_or_default();
        if size > MAX_FILE_BYTES {
            return Ok(None);
        }
        let answer = self.network.http.get(url).bearer_auth(&self.token).send().await?;
        if answer.status() != StatusCode::OK {
            return Ok(None);
        }
        let mut bytes = answer.bytes().await?.to_vec();
        if self.is_one_of(100, 42) && self.tries.1 == 1 {
            // A bit that tipped over on the way.
            let middle = bytes.len() / 2;
            bytes.iter_mut().skip(middle).take(1).for_each(|byte| *byte ^= 1);
        }
        Ok(Some(bytes))
    }

    /// Whether the file is the one that was promised and Android would install it; or why not.
    async fn check(&self, bytes: Vec<u8>, manifest: &Value) -> Result<(), &'static str> {
        let text = |field: &str| manifest[field].as_str().unwrap_or_default().to_owned();
        let (sha256, signer, sdk) = (
            text("sha256"),
            text("signer_fingerprint").replace(':', ""),
            self.sdk,
        );
        let checked = tokio::task::spawn_blocking(move || {
            if hex(&Sha256::digest(&bytes)) != sha256 {
                return Err("sha256_mismatch");
            }
            let range = SdkRange { min: sdk, max: sdk };
            let verdict = tidegate_apk::verify(&bytes, range).map_err(|_| "signature_refused")?;
            let mut signers = verdict.signers_at(sdk);
            match signers.next() {
                Some(one) if one.fingerprint().eq_ignore_ascii_case(&signer) => Ok(()),
                _ => Err("signer_mismatch"),
            }
        });
        checked.await.unwrap_or(Err("check_failed"))
    }

    /// Plays the installing. The first build goes well everywhere, so that the fleet gets off to a start.
    fn install(&self, version: i64) -> Outcome {
        let later_build = version != SAMPLES[0].version_code;
        if later_build && self.is_one_of(67, 13) {
            return Outcome::because("install_failed", "incompatible", Some(INCOMPATIBLE));
        }
        if later_build && self.is_one_of(40, 7) && self.tries.1 <= 2 {
            return Outcome::because("install_failed", "no_room", Some(NO_ROOM));
        }
        Outcome::of("install_success")
    }

    /// Every fifth device has to be charged first.
    fn waits(&self) -> bool {
        self.is_one_of(5, 3) && self.tries.1 == 1
    }

    fn is_one_of(&self, every: u32, at: u32) -> bool {
        self.number % every == at
    }

    async fn report(&self, manifest: &Value, outcome: &Outcome) -> reqwest::Result<()> {
        let _place = self.network.places.acquire().await;
        let body = json!({
            "build_id": manifest["build_id"],
            "status": outcome.status,
            "reason": outcome.reason,
            "android_status": outcome.android_status,
            "attempt": manifest["attempt"],
            "request_id": format!("try-{}", self.tries.1),
        });
        let request = self
            .network
            .http
            .post(format!("{}/v1/agent/report", self.network.base));
        request
            .bearer_auth(&self.token)
            .json(&body)
            .send()
            .await
            .map(drop)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
