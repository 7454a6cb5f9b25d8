//! The settings that use cases obey.

use std::time::Duration;

use chrono::TimeDelta;

use crate::RetentionSettings;

/// The settings that use cases obey, checked before they get here.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address that devices reach the server at, without a slash at the end. Never taken from a request.
    pub public_url: String,
    /// The mean time between two polls of a device.
    pub poll_interval: Duration,
    /// How long a download URL holds.
    pub download_url_ttl: TimeDelta,
    /// The lowest API level in the fleet: builds are verified for it or for their own minimum, whichever is higher.
    pub fleet_min_sdk: u32,
    /// The largest APK that is taken in, in bytes.
    pub max_upload_bytes: u64,
    /// How many uploads may be under way at once.
    pub max_concurrent_uploads: usize,
    /// How many bytes a second an upload has to bring.
    pub min_upload_rate: u64,
    /// How long things are kept.
    pub retention: RetentionSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            public_url: "http://127.0.0.1:8080".to_owned(),
            poll_interval: Duration::from_secs(6 * 3600),
            download_url_ttl: TimeDelta::hours(1),
            fleet_min_sdk: 24,
            max_upload_bytes: 512 * 1024 * 1024,
            max_concurrent_uploads: 4,
            min_upload_rate: 8 * 1024,
            retention: RetentionSettings::default(),
        }
    }
}
