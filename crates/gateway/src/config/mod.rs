//! The settings: defaults, then a TOML file, then `TIDEGATE_*` variables, the later over the earlier.
//!
//! A setting that is unknown or has a value it cannot have stops the start, with all faults in one message and
//! before anything is opened. A server that starts in spite of a mistyped name does something else than its
//! operator believes.

mod edge;
mod fault;
mod fcm;
mod forms;
mod layers;
mod retention;
mod show;
mod table;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use tidegate_artifacts::S3Options;
use tidegate_service::{PatchSettings, RetentionSettings};
use tidegate_signing::{CommandKey, CommandKeys, MasterKey, SecretString};
use tidegate_storage as storage;
use tracing_subscriber::EnvFilter;

pub use edge::{ForwardedHeader, TlsFiles};
pub use fault::{Fault, Faults};
pub use fcm::FcmConfig;
pub use table::{SETTINGS, Setting};

use layers::{Layers, parsed};

const SECOND: Duration = Duration::from_secs(1);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// The largest upload that can be allowed: no APK that Android reads reaches 4 GiB.
const MAX_UPLOAD_BYTES: u64 = u32::MAX as u64;

/// The most uploads at once that can be allowed; each holds a file and a place in memory.
const MAX_UPLOADS: usize = 64;

/// The most patches that can be made for a build.
const MAX_PATCHES: usize = 64;

/// The most that all patches together can be allowed.
const MAX_PATCH_STORAGE: u64 = 1 << 50;

/// Within what making a patch can be allowed memory: below the least nothing is ever made.
const PATCH_MEMORY: RangeInclusive<u64> = 64 << 20..=64 << 30;

/// What is kept of the disk by default: some hundred changes of a rollout, each with its audit entry.
const DISK_RESERVE: u64 = 32 << 20;

/// The most that can be kept of the disk.
const MAX_DISK_RESERVE: u64 = 16 << 30;

/// The most polls a second that can be allowed: more than a server answers.
const MAX_POLLS_PER_SECOND: u32 = 1_000_000;

/// The most downloads at once that can be allowed: more than a server has connections.
const MAX_DOWNLOADS: usize = 1_000_000;

/// The most polls a second that can be logged.
const MAX_LOGGED_POLLS: u32 = 1_000_000;

/// The settings of a server, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where devices are served, and people unless `admin_listen` is set.
    pub listen: SocketAddr,
    /// An address of its own for the admin surface.
    pub admin_listen: Option<SocketAddr>,
    /// Where devices reach this server, without a slash at the end; `None` for the address it listens on.
    pub public_url: Option<String>,
    /// The certificate with which the ports speak TLS; `None` for plain HTTP.
    pub tls: Option<TlsFiles>,
    /// How many connections each port serves at once; `None` for as many as the system allows, up to
    /// [`crate::MAX_CONNECTIONS`].
    pub max_connections: Option<usize>,
    /// How many connections of one address may have shown no valid credential; 0 for no bound.
    pub max_connections_per_address: usize,
    /// How long a peer may take nothing of an answer.
    pub write_stall_limit: Duration,
    /// How many bytes a second an upload has to bring.
    pub min_upload_rate: u64,
    /// The proxies that are believed about where a request came from.
    pub trusted_proxies: Vec<IpNet>,
    /// The header in which they tell it.
    pub forwarded_header: ForwardedHeader,
    /// The folder for everything that is kept on this machine.
    pub data_dir: PathBuf,
    /// The database.
    pub database: storage::Settings,
    /// A folder or `s3://bucket/prefix`.
    pub artifact_store: String,
    /// How to reach the bucket.
    pub s3: S3Options,
    /// Where the audit log's heads are kept: a file or `s3://bucket/prefix`; `None` for nowhere.
    pub audit_witness: Option<String>,
    /// The master key; `None` for the one in a file.
    pub master_key: Option<MasterKey>,
    /// The file of the master key; `None` for the one in the data folder.
    pub master_key_file: Option<PathBuf>,
    /// The previous or the next master key.
    pub rotation_key: Option<MasterKey>,
    /// Command keys for all devices, instead of derived ones.
    pub command_keys: Option<CommandKeys>,
    /// The mean time between two polls of a device.
    pub poll_interval: Duration,
    /// How long a download URL holds.
    pub download_url_ttl: Duration,
    /// Whether devices that can are sent to the bucket for their files.
    pub download_redirect: bool,
    /// How many polls a second this server is to get; 0 for any number.
    pub max_polls_per_second: u32,
    /// How many devices are sent files at once; 0 for any number.
    pub max_concurrent_downloads: usize,
    /// The largest APK that is taken in.
    pub max_upload_bytes: u64,
    /// How many uploads may be under way at once.
    pub max_concurrent_uploads: usize,
    /// The lowest Android API level in the fleet.
    pub fleet_min_sdk: u32,
    /// How long things are kept.
    pub retention: RetentionSettings,
    /// What patches may cost.
    pub patches: PatchSettings,
    /// How nudges are sent.
    pub fcm: FcmConfig,
    /// Whether requests are timed and the metrics page is served.
    pub metrics: bool,
    /// Where traces are sent; `None` for nowhere.
    pub otlp_endpoint: Option<String>,
    /// How many of the traces that begin here are sent, in percent.
    pub trace_percent: u8,
    /// How long `/readyz` says "no more" before the ports close.
    pub shutdown_delay: Duration,
    /// At most so many polls a second are logged; 0 for none.
    pub log_polls_per_second: u32,
    /// How log lines look.
    pub log_format: LogFormat,
    /// What is logged, as [`EnvFilter`] reads it.
    pub log: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    Json,
    /// For users.
    Text,
    /// For users on a terminal, for machines elsewhere.
    Auto,
}

impl LogFormat {
    /// The format's name in the settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
            Self::Auto => "auto",
        }
    }
}

impl FromStr for LogFormat {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Json, Self::Text, Self::Auto]
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or(())
    }
}

impl Config {
    /// The defaults, with everything in this folder.
    pub fn in_folder(data_dir: impl Into<PathBuf>) -> Self {
        let data_dir = data_dir.into();
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin_listen: None,
            public_url: None,
            tls: None,
            max_connections: None,
            max_connections_per_address: 256,
            write_stall_limit: Duration::from_secs(60),
            min_upload_rate: 8 * 1024,
            trusted_proxies: Vec::new(),
            forwarded_header: ForwardedHeader::default(),
            database: storage::Settings {
                reserve_bytes: DISK_RESERVE,
                ..storage::Settings::new(format!("sqlite://{}", data_dir.join("tidegate.db").display()))
            },
            artifact_store: data_dir.join("artifacts").display().to_string(),
            s3: S3Options::default(),
            audit_witness: None,
            master_key: None,
            master_key_file: None,
            rotation_key: None,
            command_keys: None,
            poll_interval: Duration::from_secs(6 * 3600),
            download_url_ttl: Duration::from_secs(3600),
            download_redirect: false,
            max_polls_per_second: 0,
            max_concurrent_downloads: 0,
            max_upload_bytes: 512 << 20,
            max_concurrent_uploads: 4,
            fleet_min_sdk: 24,
            retention: RetentionSettings::default(),
            patches: PatchSettings::default(),
            fcm: FcmConfig::default(),
            metrics: true,
            otlp_endpoint: None,
            trace_percent: 10,
            shutdown_delay: Duration::ZERO,
            log_polls_per_second: 10,
            log_format: LogFormat::Auto,
            log: "info".to_owned(),
            data_dir,
        }
    }

    /// Reads the settings from the file, if one is named, and from the environment that is handed over.
    ///
    /// # Errors
    /// All faults that were found, each with the setting's name, what it got and what is allowed.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Faults> {
        let mut given = Layers::read(file, environment).map_err(|fault| Faults(vec![fault]))?;
        let folder = given.take("data_dir", forms::not_empty);
        let mut config = Self::in_folder(folder.unwrap_or_else(|| "./tidegate-data".to_owned()));
        config.take_addresses(&mut given);
        config.take_edge(&mut given);
        config.take_stores(&mut given);
        config.take_keys(&mut given);
        config.take_limits(&mut given);
        config.take_retention(&mut given);
        config.fcm.take(&mut given);
        config.take_telemetry(&mut given);
        config.take_log(&mut given);
        let faults = given.finish();
        if faults.is_empty() {
            Ok(config)
        } else {
            Err(Faults(faults))
        }
    }

    fn take_addresses(&mut self, given: &mut Layers) {
        set(&mut self.listen, given.take("listen", forms::address));
        self.admin_listen = given.take("admin_listen", forms::address);
        self.public_url = given.take("public_url", forms::base_url);
        if self.public_url.is_none() && self.listen.ip().is_unspecified() {
            let why = "must be set when listen is every address of the machine, because devices can't be sent there";
            given.fault("public_url", why);
        }
        if self.admin_listen == Some(self.listen) && self.listen.port() != 0 {
            given.fault(
                "admin_listen",
                "must differ from listen; leave it out to serve everything on one port",
            );
        }
    }

    fn take_stores(&mut self, given: &mut Layers) {
        set(
            &mut self.database.url,
            given.take_secret("database_url", forms::not_empty),
        );
        let connections = forms::number(1..=storage::MAX_POOL_SIZE);
        set(
            &mut self.database.pool_size,
            given.take("database_pool_size", connections),
        );
        let yes_or_no = || parsed("must be true or false");
        set(
            &mut self.database.pooled,
            given.take("database_pooled", yes_or_no()),
        );
        set(
            &mut self.database.plaintext,
            given.take("database_plaintext", yes_or_no()),
        );
        set(
            &mut self.database.reserve_bytes,
            given.take("disk_reserve", forms::bytes(0..=MAX_DISK_RESERVE)),
        );
        set(
            &mut self.artifact_store,
            given.take("artifact_store", forms::not_empty),
        );
        self.s3 = S3Options {
            endpoint: given.take("s3_endpoint", forms::base_url),
            public_endpoint: given.take("s3_public_endpoint", forms::base_url),
            allow_http: given.take("s3_allow_http", yes_or_no()).unwrap_or(false),
            region: given.take("s3_region", forms::not_empty),
            access_key: given.take("s3_access_key_id", forms::not_empty),
            secret_key: given.take_secret("s3_secret_access_key", |text: &str| {
                forms::not_empty(text).map(SecretString::from)
            }),
        };
        self.audit_witness = given.take("audit_witness", forms::not_empty);
        set(
            &mut self.download_redirect,
            given.take("download_redirect", parsed("must be true or false")),
        );
        if self.download_redirect && !self.artifact_store.starts_with("s3://") {
            given.fault(
                "download_redirect",
                "needs an artifact_store of the form s3://BUCKET/PREFIX",
            );
        }
        match (&self.s3.access_key, &self.s3.secret_key) {
            (Some(_), None) => given.fault("s3_secret_access_key", "must be set beside s3_access_key_id"),
            (None, Some(_)) => given.fault("s3_access_key_id", "must be set beside s3_secret_access_key"),
            _ => {}
        }
    }

    fn take_keys(&mut self, given: &mut Layers) {
        let master = |text: &str| MasterKey::from_text(text).map_err(|fault| tail(&fault, "master_key"));
        let command = |text: &str| CommandKey::from_text(text).map_err(|fault| tail(&fault, "command_key"));
        self.master_key = given.take_secret("master_key", master);
        self.master_key_file = given.take("master_key_file", |text: &str| {
            forms::not_empty(text).map(PathBuf::from)
        });
        if self.master_key.is_some() && self.master_key_file.is_some() {
            given.fault("master_key_file", "must not be set beside master_key");
        }
        self.rotation_key = given.take_secret("rotation_key", master);
        let primary = given.take_secret("command_shared_key", command);
        let rotation = given.take_secret("command_shared_rotation_key", command);
        if primary.is_none() && rotation.is_some() {
            given.fault(
                "command_shared_key",
                "must be set beside command_shared_rotation_key",
            );
        }
        self.command_keys = primary.map(|primary| CommandKeys { primary, rotation });
    }

    fn take_patches(&mut self, given: &mut Layers) {
        let patches = &mut self.patches;
        set(
            &mut patches.per_build,
            given.take("patches_per_build", forms::number(0..=MAX_PATCHES)),
        );
        set(
            &mut patches.storage,
            given.take("patch_storage", forms::bytes(0..=MAX_PATCH_STORAGE)),
        );
        set(
            &mut patches.memory,
            given.take("patch_memory", forms::bytes(PATCH_MEMORY)),
        );
        // Whoever was offered one may still be fetching it.
        patches.grace = self.download_url_ttl;
    }

    fn take_limits(&mut self, given: &mut Layers) {
        set(
            &mut self.poll_interval,
            given.take("poll_interval", forms::duration(SECOND..=WEEK)),
        );
        set(
            &mut self.max_polls_per_second,
            given.take("max_polls_per_second", forms::number(0..=MAX_POLLS_PER_SECOND)),
        );
        set(
            &mut self.max_concurrent_downloads,
            given.take("max_concurrent_downloads", forms::number(0..=MAX_DOWNLOADS)),
        );
        let ttl = forms::duration(10 * SECOND..=WEEK);
        set(&mut self.download_url_ttl, given.take("download_url_ttl", ttl));
        self.take_patches(given);
        let size = forms::bytes(1024..=MAX_UPLOAD_BYTES);
        set(&mut self.max_upload_bytes, given.take("max_upload_bytes", size));
        let uploads = forms::number(1..=MAX_UPLOADS);
        set(
            &mut self.max_concurrent_uploads,
            given.take("max_concurrent_uploads", uploads),
        );
        set(
            &mut self.fleet_min_sdk,
            given.take("fleet_min_sdk", forms::number(1..=99)),
        );
    }

    fn take_telemetry(&mut self, given: &mut Layers) {
        set(
            &mut self.metrics,
            given.take("metrics", parsed("must be true or false")),
        );
        self.otlp_endpoint = given.take("otlp_endpoint", forms::plain_base_url);
        set(
            &mut self.trace_percent,
            given.take("trace_percent", forms::number(0..=100)),
        );
        let delay = forms::duration(Duration::ZERO..=60 * SECOND);
        set(&mut self.shutdown_delay, given.take("shutdown_delay", delay));
        set(
            &mut self.log_polls_per_second,
            given.take("log_polls_per_second", forms::number(0..=MAX_LOGGED_POLLS)),
        );
    }

    fn take_log(&mut self, given: &mut Layers) {
        set(
            &mut self.log_format,
            given.take("log_format", parsed("must be json, text or auto")),
        );
        let filter = |text: &str| {
            EnvFilter::try_new(text)
                .map(|_| text.to_owned())
                .map_err(|_| "must be a level, or rules such as info,tidegate_service=debug".to_owned())
        };
        set(&mut self.log, given.take("log", filter));
    }
}

fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

/// A message of the signing crate without the name that it begins with: ours comes before it.
fn tail(fault: &tidegate_signing::Error, name: &str) -> String {
    let text = fault.to_string();
    text.strip_prefix(name)
        .map_or(text.clone(), |rest| rest.trim_start().to_owned())
}
