use std::io::Write;

use super::*;

fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(own).collect()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn refusal(text: &str) -> String {
    let file = file(text);
    Config::load(Some(file.path()), []).unwrap_err().to_string()
}

#[test]
fn nothing_needs_to_be_set() {
    let config = Config::load(None, []).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.admin_listen, None);
    assert_eq!(config.database.url, "sqlite://./tidegate-data/tidegate.db");
    assert_eq!(config.artifact_store, "./tidegate-data/artifacts");
    assert_eq!(config.poll_interval, Duration::from_secs(21_600));
    assert_eq!(config.max_upload_bytes, 536_870_912);
    assert_eq!(config.log_format, LogFormat::Auto);
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_default() {
    let file = file("listen = \"127.0.0.1:1111\"\npoll_interval = \"1h\"\nmax_upload_bytes = 2048\n");
    let variables = environment(&[("TIDEGATE_LISTEN", "127.0.0.1:2222"), ("HOME", "/nowhere")]);
    let config = Config::load(Some(file.path()), variables).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:2222");
    assert_eq!(config.poll_interval, Duration::from_secs(3600));
    assert_eq!(config.max_upload_bytes, 2048);
    assert_eq!(config.max_concurrent_uploads, 4);
    assert_eq!(
        (config.max_concurrent_downloads, config.max_polls_per_second),
        (0, 0),
        "no limit"
    );
}

#[test]
fn a_bad_value_is_named_with_its_origin_and_what_is_allowed() {
    let cases = [
        (
            "listen = \"localhost\"",
            "listen = \"localhost\"",
            "an address and a port",
        ),
        ("listen = 8080", "listen = \"8080\"", "an address and a port"),
        (
            "admin_listen = \"x\"",
            "admin_listen = \"x\"",
            "an address and a port",
        ),
        (
            "admin_listen = \"127.0.0.1:8080\"",
            "admin_listen",
            "must differ from listen",
        ),
        (
            "public_url = \"updates.example\"",
            "public_url = \"updates.example\"",
            "https://",
        ),
        (
            "listen = \"0.0.0.0:80\"",
            "public_url",
            "must be set when listen is every address",
        ),
        ("tls_key = \"k\"", "tls_certificate", "must be set beside tls_key"),
        (
            "tls_certificate = \"c\"",
            "tls_key",
            "must be set beside tls_certificate",
        ),
        (
            "max_connections = 0",
            "max_connections = \"0\"",
            "from 1 to 1000000",
        ),
        (
            "max_connections_per_address = -1",
            "max_connections_per_address = \"-1\"",
            "from 0 to 1000000",
        ),
        (
            "write_stall_limit = \"0s\"",
            "write_stall_limit = \"0s\"",
            "from 1s to 1h",
        ),
        (
            "min_upload_rate = \"2MiB\"",
            "min_upload_rate = \"2MiB\"",
            "from 0 to 1048576",
        ),
        (
            "trusted_proxies = \"10.0.0.0/8, proxy\"",
            "trusted_proxies = \"10.0.0.0/8, proxy\"",
            "addresses or networks with commas",
        ),
        (
            "forwarded_header = \"x-real-ip\"",
            "forwarded_header = \"x-real-ip\"",
            "x-forwarded-for or forwarded",
        ),
        ("data_dir = \"\"", "data_dir", "must not be empty"),
        ("database_url = \"\"", "database_url", "must not be empty"),
        (
            "database_pool_size = 0",
            "database_pool_size = \"0\"",
            "from 1 to 128",
        ),
        (
            "artifact_store = \" \"",
            "artifact_store = \" \"",
            "must not be empty",
        ),
        ("s3_endpoint = \"minio\"", "s3_endpoint = \"minio\"", "https://"),
        (
            "download_redirect = true",
            "download_redirect",
            "needs an artifact_store of the form s3://",
        ),
        (
            "s3_access_key_id = \"a\"",
            "s3_secret_access_key",
            "must be set beside",
        ),
        (
            "s3_secret_access_key = \"a\"",
            "s3_access_key_id",
            "must be set beside",
        ),
        ("master_key = \"short\"", "master_key", "neither hex nor base64"),
        ("rotation_key = \"0000\"", "rotation_key", "has only 2 bytes"),
        (
            "command_shared_key = \"abc\"",
            "command_shared_key",
            "must have 8 to 256 bytes",
        ),
        (
            "command_shared_rotation_key = \"abcdefgh\"",
            "command_shared_key",
            "must be set beside",
        ),
        (
            "poll_interval = \"6 fortnights\"",
            "poll_interval = \"6 fortnights\"",
            "such as 90s, 30m or 6h",
        ),
        (
            "poll_interval = \"0s\"",
            "poll_interval = \"0s\"",
            "from 1s to 7days",
        ),
        (
            "poll_interval = true",
            "poll_interval = \"true\"",
            "such as 90s, 30m or 6h",
        ),
        (
            "download_url_ttl = \"1s\"",
            "download_url_ttl = \"1s\"",
            "from 10s to 7days",
        ),
        (
            "max_upload_bytes = \"9GiB\"",
            "max_upload_bytes = \"9GiB\"",
            "to 4294967295",
        ),
        (
            "max_upload_bytes = [1]",
            "max_upload_bytes = \"a list\"",
            "must be a text",
        ),
        (
            "max_concurrent_downloads = -1",
            "max_concurrent_downloads = \"-1\"",
            "from 0 to 1000000",
        ),
        (
            "max_polls_per_second = 1000001",
            "max_polls_per_second = \"1000001\"",
            "from 0 to 1000000",
        ),
        (
            "max_concurrent_uploads = 65",
            "max_concurrent_uploads = \"65\"",
            "from 1 to 64",
        ),
        (
            "fcm_unreachable_after = \"2h\"",
            "fcm_unreachable_after = \"2h\"",
            "from 1s to 1h",
        ),
        (
            "keep_reports = \"30d\"",
            "keep_reports = \"30d\"",
            "must be 0s, which is never, or a time such as 90d, from 90d",
        ),
        ("keep_campaigns = \"13d\"", "keep_campaigns = \"13d\"", "from 14d"),
        (
            "keep_stat_hours = \"30d\"",
            "keep_stat_hours = \"30d\"",
            "from 31d",
        ),
        (
            "keep_retired_stories = \"1h\"",
            "keep_retired_stories = \"1h\"",
            "from 1d",
        ),
        ("inactive_after = \"1h\"", "inactive_after = \"1h\"", "from 1d"),
        (
            "inactive_after = \"1d\"\npoll_interval = \"13h\"",
            "inactive_after",
            "at least two poll_intervals",
        ),
        ("fleet_min_sdk = \"N\"", "fleet_min_sdk = \"N\"", "from 1 to 99"),
        ("metrics = 1", "metrics = \"1\"", "true or false"),
        (
            "otlp_endpoint = \"https://c:4317\"",
            "otlp_endpoint = \"https://c:4317\"",
            "without TLS",
        ),
        ("trace_percent = 101", "trace_percent = \"101\"", "from 0 to 100"),
        (
            "shutdown_delay = \"2m\"",
            "shutdown_delay = \"2m\"",
            "from 0s to 1m",
        ),
        (
            "log_polls_per_second = -1",
            "log_polls_per_second = \"-1\"",
            "from 0 to 1000000",
        ),
        (
            "log_format = \"xml\"",
            "log_format = \"xml\"",
            "json, text or auto",
        ),
        ("log = \"info,=\"", "log = \"info,=\"", "a level, or rules"),
    ];
    for (text, key, allowed) in cases {
        let message = refusal(text);
        assert!(
            message.contains(key) && message.contains(allowed),
            "{text}: {message}"
        );
    }
}

#[test]
fn an_unknown_key_stops_the_start_wherever_it_stands() {
    let message = refusal("lsten = \"127.0.0.1:1\"\n[s3]\nregion = \"x\"");
    assert!(message.contains("\n  lsten (from "), "{message}");
    assert!(message.contains("\n  s3 (from "), "{message}");
    assert!(message.contains("did you mean listen?"), "{message}");
    assert!(
        message.contains("there are listen, admin_listen"),
        "of s3: {message}"
    );

    let faults = Config::load(None, environment(&[("TIDEGATE_LSTEN", "x")])).unwrap_err();
    let keys: Vec<_> = faults.0.iter().map(|fault| fault.key.as_deref()).collect();
    assert_eq!(keys, [Some("lsten")]);
    assert!(faults.to_string().contains("lsten (from the environment)"));
}

#[test]
fn all_faults_are_told_at_once() {
    let variables = environment(&[
        ("TIDEGATE_LISTEN", "x"),
        ("TIDEGATE_LOG_FORMAT", "x"),
        ("TIDEGATE_NO_SUCH", "x"),
    ]);
    assert_eq!(Config::load(None, variables).unwrap_err().0.len(), 3);
}

#[test]
fn a_service_in_kubernetes_and_the_commands_own_variable_are_no_settings() {
    let variables = environment(&[
        ("TIDEGATE_CONFIG", "/etc/tidegate.toml"),
        ("TIDEGATE_PORT", "tcp://10.0.0.1:80"),
        ("TIDEGATE_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("TIDEGATE_SERVICE_HOST", "10.0.0.1"),
    ]);
    Config::load(None, variables).unwrap();
}

#[test]
fn a_file_that_is_missing_or_no_toml_is_named() {
    let missing = Config::load(Some(Path::new("/no/such/tidegate.toml")), []).unwrap_err();
    assert!(
        missing
            .to_string()
            .contains("/no/such/tidegate.toml cannot be read")
    );
    assert!(refusal("listen = ").contains("is not TOML"));
}

#[test]
fn a_key_of_decimal_digits_is_not_taken_for_a_number() {
    let digits = "12345678901234567890123456789012".repeat(2);
    let config = Config::load(None, environment(&[("TIDEGATE_MASTER_KEY", &digits)])).unwrap();
    assert_eq!(
        tidegate_signing::ExposeSecret::expose_secret(&config.master_key.unwrap().to_text()).len(),
        44,
        "32 bytes in base64"
    );
}

#[test]
fn no_secret_is_repeated_in_a_message_or_when_the_settings_are_shown() {
    let secret = "hunter2hunter2";
    let names = ["MASTER_KEY", "ROTATION_KEY"];
    for name in names {
        let variables = environment(&[(&format!("TIDEGATE_{name}"), secret)]);
        assert!(
            !Config::load(None, variables)
                .unwrap_err()
                .to_string()
                .contains(secret)
        );
    }
    let config = Config::load(
        None,
        environment(&[
            (
                "TIDEGATE_MASTER_KEY",
                "QmFzZTY0IG9mIHNvbWUgbW9yZSB0aGFuIDMyIGJ5dGVzIG9mIHRleHQ",
            ),
            (
                "TIDEGATE_DATABASE_URL",
                "postgres://ann:hunter2hunter2@db/tide?password=hunter2hunter2",
            ),
            ("TIDEGATE_S3_ACCESS_KEY_ID", "AKIA"),
            ("TIDEGATE_S3_SECRET_ACCESS_KEY", secret),
            ("TIDEGATE_COMMAND_SHARED_KEY", secret),
        ]),
    )
    .unwrap();
    let shown = format!("{config}{config:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("QmFz"), "{shown}");
    assert!(
        shown.contains("database_url = \"postgres://(hidden)@db/tide\""),
        "{shown}"
    );
}

#[test]
fn what_is_never_to_be_removed_is_kept_for_ever() {
    let kept = |text: &str| {
        let file = file(text);
        Config::load(Some(file.path()), []).unwrap().retention
    };
    assert_eq!(kept("keep_reports = \"0s\"").reports, None);
    assert_eq!(kept("inactive_after = \"0s\"").inactive_after, None);
    let half = kept("keep_campaigns = \"14d 12h\"").campaigns;
    assert_eq!(half, Some(Duration::from_secs(29 * 12 * 3_600)));
}

#[test]
fn what_is_shown_can_be_read_again() {
    let shown = Config::load(None, []).unwrap().to_string();
    let again = file(&shown);
    assert_eq!(Config::load(Some(again.path()), []).unwrap().to_string(), shown);
    for line in shown.lines() {
        let name = line.split(' ').next().unwrap();
        assert!(SETTINGS.iter().any(|setting| setting.name == name), "{name}");
    }
}

#[test]
fn the_reference_in_the_docs_names_every_setting_and_its_default() {
    let docs = include_str!("../../../../docs/operations.md");
    for Setting { name, default, .. } in SETTINGS {
        let row = docs
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/operations.md does not tell of {name}"));
        assert!(
            row.contains(default),
            "docs/operations.md tells another default of {name}: {row}"
        );
    }
}
