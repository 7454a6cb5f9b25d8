//! The settings as they are in force, without the secrets.

use std::fmt;

use humantime::format_duration;
use ipnet::IpNet;
use tidegate_storage::Settings as Database;

use super::{Config, retention};

/// What is printed in a secret's place.
const HIDDEN: &str = "(hidden)";

/// The settings in force, in the form of a configuration file. Secrets are hidden, what is not set is left out.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |set: bool| set.then(|| HIDDEN.to_owned());
        let texts = [
            ("listen", Some(self.listen.to_string())),
            (
                "admin_listen",
                self.admin_listen.map(|address| address.to_string()),
            ),
            (
                "public_url",
                self.public_url
                    .clone()
                    .or_else(|| Some(format!("{}://{}", self.scheme(), self.listen))),
            ),
            (
                "tls_certificate",
                self.tls.as_ref().map(|tls| tls.certificate.display().to_string()),
            ),
            (
                "tls_key",
                self.tls.as_ref().map(|tls| tls.key.display().to_string()),
            ),
            (
                "write_stall_limit",
                Some(format_duration(self.write_stall_limit).to_string()),
            ),
            ("trusted_proxies", networks(&self.trusted_proxies)),
            (
                "forwarded_header",
                Some(self.forwarded_header.as_str().to_owned()),
            ),
            ("data_dir", Some(self.data_dir.display().to_string())),
            ("database_url", Some(without_password(&self.database))),
            ("artifact_store", Some(self.artifact_store.clone())),
            ("audit_witness", self.audit_witness.clone()),
            ("s3_endpoint", self.s3.endpoint.clone()),
            ("s3_public_endpoint", self.s3.public_endpoint.clone()),
            ("s3_region", self.s3.region.clone()),
            ("s3_access_key_id", self.s3.access_key.clone()),
            ("s3_secret_access_key", hidden(self.s3.secret_key.is_some())),
            ("master_key", hidden(self.master_key.is_some())),
            (
                "master_key_file",
                self.master_key_file
                    .as_ref()
                    .map(|path| path.display().to_string()),
            ),
            ("rotation_key", hidden(self.rotation_key.is_some())),
            ("command_shared_key", hidden(self.command_keys.is_some())),
            (
                "command_shared_rotation_key",
                hidden(
                    self.command_keys
                        .as_ref()
                        .is_some_and(|keys| keys.rotation.is_some()),
                ),
            ),
            (
                "poll_interval",
                Some(format_duration(self.poll_interval).to_string()),
            ),
            (
                "download_url_ttl",
                Some(format_duration(self.download_url_ttl).to_string()),
            ),
            (
                "fcm_service_account",
                self.fcm
                    .service_account
                    .as_ref()
                    .map(|path| path.display().to_string()),
            ),
            ("fcm_endpoint", Some(self.fcm.endpoint.clone())),
            ("fcm_ramp", Some(format_duration(self.fcm.ramp).to_string())),
            ("fcm_timeout", Some(format_duration(self.fcm.timeout).to_string())),
            (
                "fcm_first_retry",
                Some(format_duration(self.fcm.first_retry).to_string()),
            ),
            ("fcm_lease", Some(format_duration(self.fcm.lease).to_string())),
            (
                "fcm_unreachable_after",
                Some(format_duration(self.fcm.unreachable_after).to_string()),
            ),
            ("otlp_endpoint", self.otlp_endpoint.clone()),
            (
                "shutdown_delay",
                Some(format_duration(self.shutdown_delay).to_string()),
            ),
            ("log_format", Some(self.log_format.as_str().to_owned())),
            ("log", Some(self.log.clone())),
        ];
        for (name, text) in texts.into_iter().chain(retention::shown(&self.retention)) {
            if let Some(text) = text {
                writeln!(f, "{name} = {text:?}")?;
            }
        }
        if let Some(connections) = self.max_connections {
            writeln!(f, "max_connections = {connections}")?;
        }
        writeln!(
            f,
            "max_connections_per_address = {}",
            self.max_connections_per_address
        )?;
        writeln!(f, "min_upload_rate = {}", self.min_upload_rate)?;
        writeln!(f, "database_pool_size = {}", self.database.pool_size)?;
        writeln!(f, "database_pooled = {}", self.database.pooled)?;
        writeln!(f, "database_plaintext = {}", self.database.plaintext)?;
        writeln!(f, "s3_allow_http = {}", self.s3.allow_http)?;
        writeln!(f, "disk_reserve = {}", self.database.reserve_bytes)?;
        writeln!(f, "fcm_max_per_second = {}", self.fcm.max_per_second)?;
        writeln!(f, "max_upload_bytes = {}", self.max_upload_bytes)?;
        writeln!(f, "max_concurrent_uploads = {}", self.max_concurrent_uploads)?;
        writeln!(f, "patches_per_build = {}", self.patches.per_build)?;
        writeln!(f, "patch_storage = {}", self.patches.storage)?;
        writeln!(f, "patch_memory = {}", self.patches.memory)?;
        writeln!(f, "max_polls_per_second = {}", self.max_polls_per_second)?;
        writeln!(f, "max_concurrent_downloads = {}", self.max_concurrent_downloads)?;
        writeln!(f, "fleet_min_sdk = {}", self.fleet_min_sdk)?;
        writeln!(f, "download_redirect = {}", self.download_redirect)?;
        writeln!(f, "metrics = {}", self.metrics)?;
        writeln!(f, "trace_percent = {}", self.trace_percent)?;
        writeln!(f, "log_polls_per_second = {}", self.log_polls_per_second)
    }
}

/// The networks in one text; `None` where there are none.
fn networks(networks: &[IpNet]) -> Option<String> {
    let texts: Vec<String> = networks.iter().map(ToString::to_string).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

/// `scheme://user:password@host/…` without what is before the last `@` and after a `?`, where passwords stand. What
/// is no path and no such URL is refused when it is opened, and may be a password in another spelling.
fn without_password(database: &Database) -> String {
    let Some((scheme, rest)) = database.url.split_once("://") else {
        let is_path = !database.url.contains(['=', '@']);
        return if is_path {
            database.url.clone()
        } else {
            HIDDEN.to_owned()
        };
    };
    if scheme == "sqlite" {
        return database.url.clone();
    }
    let (user, place) = rest
        .rsplit_once('@')
        .map_or(("", rest), |(_, place)| (HIDDEN, place));
    let place = place.split('?').next().unwrap_or_default();
    let at = if user.is_empty() { "" } else { "@" };
    format!("{scheme}://{user}{at}{place}")
}
