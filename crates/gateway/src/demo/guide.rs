//! What the demo prints: a guide to try things by, and a line that tells how the fleet is doing.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::story::Seen;
use super::{LOGIN, PACKAGE};

/// How often the line is printed where it cannot be overwritten.
const PLAIN_LINE_EVERY: Duration = Duration::from_secs(10);

/// Prints a line. The demo goes on when standard output is closed.
pub(super) fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Prints the guide.
pub(super) fn print(base: &str, folder: &Path, password: &str) {
    let authority = base.split_once("://").map_or(base, |(_, rest)| rest);
    let folder = folder.display();
    say(&format!(
        r#"
Tidegate runs at {base}
  all that is kept   {folder} (remove it to begin anew)
  operator's page    {base}/
  login              {LOGIN}, password {password}
  API document       {base}/openapi.json

Log in, in another terminal, and look around:

  T=$(curl -s {base}/v1/auth/login -d '{{"name":"{LOGIN}","password":"{password}"}}' | sed 's/.*"token":"\([^"]*\)".*/\1/')
  curl -s -H "Authorization: Bearer $T" {base}/v1/apk
  curl -s -H "Authorization: Bearer $T" {base}/v1/apk/2/deployment-stats
  curl -s -H "Authorization: Bearer $T" '{base}/v1/devices/phone-0042/explain?package_name={PACKAGE}'

Builds 1 and 2 are released for you. Build 3 is yours: give it to some, to more, and take it back:

  curl -s -H "Authorization: Bearer $T" {base}/v1/apk/3/promote -d '{{"rollout_percent":10}}'
  curl -s -H "Authorization: Bearer $T" {base}/v1/apk/3/rollout -d '{{"rollout_percent":50}}'
  curl -s -H "Authorization: Bearer $T" {base}/v1/apk/rollback -d '{{}}'
  curl -s -H "Authorization: Bearer $T" {base}/v1/audit

Devices come when their six hours are over. Wake them now, and see who answered, polled and installed:

  curl -s -H "Authorization: Bearer $T" {base}/v1/apk/nudge-update -d '{{}}'
  curl -s -H "Authorization: Bearer $T" {base}/v1/nudges

The same over gRPC, which describes itself:

  grpcurl -plaintext {authority} list
  grpcurl -plaintext -H "Authorization: Bearer $T" {authority} tidegate.v1.BuildService/ListBuilds
  buf curl --protocol grpc --http2-prior-knowledge -H "Authorization: Bearer $T" {base}/tidegate.v1.DeviceService/ListDevices

An hour of a real fleet is a second here. Ctrl-C ends the demo.
"#
    ));
}

/// A line that tells how the fleet is doing: overwritten on a terminal, printed now and then elsewhere.
#[derive(Default)]
pub(super) struct LiveLine {
    shown: bool,
    printed: Option<(Instant, String)>,
}

impl LiveLine {
    /// Shows how the current build is doing.
    pub(super) fn show(&mut self, stats: &Value, builds: &[Seen], fleet: u32) {
        let line = summary(stats, builds, fleet);
        if io::stdout().is_terminal() {
            self.shown = true;
            let mut out = io::stdout();
            // Cut off at the right edge of a narrow terminal: a line that wraps cannot be overwritten.
            let _ = write!(out, "\r\x1b[K\x1b[?7l{line}\x1b[?7h").and_then(|()| out.flush());
            return;
        }
        let due = self
            .printed
            .as_ref()
            .is_none_or(|(at, last)| at.elapsed() >= PLAIN_LINE_EVERY && *last != line);
        if due {
            say(&line);
            #[allow(clippy::disallowed_methods, reason = "a person really reads it")]
            let now = Instant::now();
            self.printed = Some((now, line));
        }
    }

    /// Prints something that stays, above the line.
    pub(super) fn note(&mut self, text: &str) {
        if std::mem::take(&mut self.shown) {
            say("");
        }
        self.printed = None;
        say(&format!("» {text}"));
    }
}

fn summary(stats: &Value, builds: &[Seen], fleet: u32) -> String {
    let count = |field: &str| stats[field].as_i64().unwrap_or_default();
    let current = builds.iter().find(|build| build.is_current);
    let percent = current.map_or(0, |build| build.percent);
    format!(
        "{} at {percent} % of {fleet}: offered {}, fetched {}, installed {}, failed {}, damaged {}, polls {}",
        stats["version_name"].as_str().unwrap_or_default(),
        count("total_eligible"),
        count("total_downloads"),
        count("installs_success"),
        count("installs_failed"),
        count("verify_failed"),
        count("total_checks"),
    )
}
