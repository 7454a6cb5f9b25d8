//! The settings by name, for messages, for `tidegate config` and for the reference in `docs/operations.md`.

/// One setting.
pub struct Setting {
    /// Its name in the file; in the environment `TIDEGATE_` and the name in capitals.
    pub name: &'static str,
    /// What it is when it is not given, for users.
    pub default: &'static str,
    /// What it does, in a sentence.
    pub meaning: &'static str,
}

const fn setting(name: &'static str, default: &'static str, meaning: &'static str) -> Setting {
    Setting {
        name,
        default,
        meaning,
    }
}

/// Every setting there is.
pub const SETTINGS: &[Setting] = &[
    setting(
        "listen",
        "127.0.0.1:8080",
        "where devices, and people unless admin_listen is set, are served",
    ),
    setting(
        "admin_listen",
        "",
        "an address of its own for the admin surface, REST and gRPC",
    ),
    setting(
        "public_url",
        "http://<listen>",
        "where devices reach this server; download URLs begin with it",
    ),
    setting(
        "tls_certificate",
        "",
        "the PEM file of the certificate with which the ports speak TLS; without it they speak plain HTTP",
    ),
    setting("tls_key", "", "the PEM file of the certificate's key"),
    setting(
        "max_connections",
        "20000",
        "how many connections each port serves at once; unless set, fewer where the system allows fewer open files",
    ),
    setting(
        "max_connections_per_address",
        "256",
        "how many connections without a valid credential one address may have; 0 for no bound",
    ),
    setting(
        "write_stall_limit",
        "1m",
        "how long a peer may take nothing of an answer",
    ),
    setting(
        "min_upload_rate",
        "8KiB",
        "how many bytes a second an upload has to bring, averaged over 30 seconds",
    ),
    setting(
        "trusted_proxies",
        "",
        "the addresses or networks of proxies that are believed about where a request came from",
    ),
    setting(
        "forwarded_header",
        "x-forwarded-for",
        "the header in which they tell it: x-forwarded-for or forwarded",
    ),
    setting(
        "data_dir",
        "./tidegate-data",
        "the folder for everything that is kept on this machine",
    ),
    setting(
        "database_url",
        "sqlite://<data_dir>/tidegate.db",
        "sqlite://PATH or postgres://USER:PASSWORD@HOST/NAME",
    ),
    setting(
        "database_pooled",
        "tried out",
        "whether a pooler such as PgBouncer hands out PostgreSQL's connections by the transaction",
    ),
    setting(
        "database_plaintext",
        "false",
        "whether a PostgreSQL on another machine may be reached without TLS",
    ),
    setting(
        "disk_reserve",
        "32MiB",
        "how much of the disk is kept for holding and taking back rollouts when it is full; 0 for nothing",
    ),
    setting(
        "database_pool_size",
        "8",
        "how many connections to the database are kept at most",
    ),
    setting(
        "artifact_store",
        "<data_dir>/artifacts",
        "where APK files are kept: a folder or s3://BUCKET/PREFIX",
    ),
    setting(
        "audit_witness",
        "",
        "where the audit log's heads are kept every hour: an append-only file or s3://BUCKET/PREFIX",
    ),
    setting("s3_endpoint", "", "the S3 server, when it is not Amazon's"),
    setting(
        "s3_public_endpoint",
        "",
        "where devices reach the S3 server, when it is another address than the server's own",
    ),
    setting(
        "download_redirect",
        "false",
        "whether devices that can are sent to the bucket for their files",
    ),
    setting(
        "s3_allow_http",
        "false",
        "whether an S3 server on another machine may be reached without TLS",
    ),
    setting("s3_region", "us-east-1", "the bucket's region"),
    setting(
        "s3_access_key_id",
        "",
        "the access key; without it, AWS's usual places are searched",
    ),
    setting("s3_secret_access_key", "", "the access key's secret"),
    setting(
        "master_key",
        "a file in data_dir",
        "the secret that every key is derived from, 32 to 64 bytes in hex or base64",
    ),
    setting(
        "master_key_file",
        "<data_dir>/master.key",
        "the file of the master key, such as a systemd credential or a docker secret",
    ),
    setting(
        "rotation_key",
        "",
        "the previous or the next master key, accepted beside the first",
    ),
    setting(
        "command_shared_key",
        "",
        "one command key for all devices, for agents that were built with it",
    ),
    setting(
        "command_shared_rotation_key",
        "",
        "a second shared command key, accepted beside the first",
    ),
    setting(
        "poll_interval",
        "6h",
        "the mean time between two polls of a device",
    ),
    setting(
        "max_polls_per_second",
        "0",
        "above this rate each server tells devices to poll more rarely, up to 8 times; 0 for any rate",
    ),
    setting(
        "max_concurrent_downloads",
        "0",
        "how many devices each server sends files to at once; others are asked to come later; 0 for any number",
    ),
    setting("download_url_ttl", "1h", "how long a download URL holds"),
    setting("max_upload_bytes", "512MiB", "the largest APK that is taken in"),
    setting(
        "max_concurrent_uploads",
        "4",
        "how many uploads may be under way at once",
    ),
    setting(
        "patches_per_build",
        "8",
        "for how many older versions of a build patches are made at most; 0 for none",
    ),
    setting(
        "patch_storage",
        "10GiB",
        "no more patches are made while all together have so many bytes",
    ),
    setting(
        "patch_memory",
        "512MiB",
        "how much memory making a patch may take; builds that want more are sent whole",
    ),
    setting(
        "fleet_min_sdk",
        "24",
        "the lowest Android API level in the fleet; signatures are judged for it and above",
    ),
    setting(
        "inactive_after",
        "90d",
        "how long after its last poll a device is counted; 0s for ever",
    ),
    setting(
        "keep_reports",
        "180d",
        "how long reports are kept, at least 90d; 0s for ever",
    ),
    setting(
        "keep_campaigns",
        "90d",
        "how long finished campaigns and their deliveries are kept, at least 14d; 0s for ever",
    ),
    setting(
        "keep_stat_hours",
        "400d",
        "how long statistics are kept hour by hour, at least 31d; 0s for ever",
    ),
    setting(
        "keep_retired_stories",
        "90d",
        "how long it is kept what retired devices did, at least 1d; 0s for ever",
    ),
    setting(
        "fcm_service_account",
        "",
        "the file of the Firebase service account that nudges are sent with; without it, none are",
    ),
    setting(
        "fcm_endpoint",
        "https://fcm.googleapis.com",
        "where FCM is; anything but https must be on this machine",
    ),
    setting(
        "fcm_max_per_second",
        "9000",
        "how many messages this server sends a second at most; FCM allows a project 10000",
    ),
    setting(
        "fcm_ramp",
        "1m",
        "how long the rate of messages takes to rise from nothing to its height",
    ),
    setting("fcm_timeout", "10s", "how long an answer of FCM's is waited for"),
    setting(
        "fcm_first_retry",
        "10s",
        "the shortest wait before a message is tried again",
    ),
    setting(
        "fcm_lease",
        "1m",
        "how long after a crash what was under way is sent again",
    ),
    setting(
        "fcm_unreachable_after",
        "5m",
        "how long FCM may be out of reach before campaigns are suspended",
    ),
    setting(
        "metrics",
        "true",
        "whether requests are timed and /metrics is served",
    ),
    setting(
        "otlp_endpoint",
        "",
        "the OpenTelemetry collector that traces are sent to by gRPC",
    ),
    setting(
        "trace_percent",
        "10",
        "how many of the traces that begin here are sent",
    ),
    setting(
        "shutdown_delay",
        "0s",
        "how long /readyz says no before the ports close",
    ),
    setting(
        "log_polls_per_second",
        "10",
        "at most so many polls a second are logged; 0 for none",
    ),
    setting(
        "log_format",
        "auto",
        "json, text, or auto: text on a terminal and json elsewhere",
    ),
    setting(
        "log",
        "info",
        "what is logged: a level, or rules such as info,tidegate_service=debug",
    ),
];
