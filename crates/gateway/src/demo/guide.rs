//! What the demo prints: where to look and what to try, and a line that tells how the fleet is doing.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::LOGIN;
use super::builds::{KIOSKS, PHONES};

/// How often a line is printed at most where it cannot be overwritten.
const PLAIN_LINE_EVERY: Duration = Duration::from_secs(10);

/// Prints a line. The demo goes on when standard output is closed.
pub(super) fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Prints what a terminal can be used for.
pub(super) fn print(base: &str, folder: &Path, password: &str) {
    let authority = base.split_once("://").map_or(base, |(_, rest)| rest);
    let (folder, package) = (folder.display(), PHONES.package);
    say(&format!(
        r#"
Tidegate runs at {base}
  all that is kept   {folder} (remove it to begin anew)
  API document       {base}/openapi.json

All that the page does can be done by the API, for example from another terminal:

  T=$(curl -s {base}/v1/auth/login -d '{{"name":"{LOGIN}","password":"{password}"}}' | sed 's/.*"token":"\([^"]*\)".*/\1/')
  curl -s -H "Authorization: Bearer $T" '{base}/v1/rollouts?package_name={package}'
  curl -s -H "Authorization: Bearer $T" '{base}/v1/devices/phone-0042/explain?package_name={package}'
  curl -s -H "Authorization: Bearer $T" {base}/v1/apk/nudge-update -d '{{}}'        # wake devices that are behind
  grpcurl -plaintext -H "Authorization: Bearer $T" {authority} tidegate.v1.BuildService/ListBuilds
"#
    ));
}

/// Says once that the page is to be opened, and what is to be seen there.
pub(super) fn your_turn(base: &str, password: &str, devices: u32, new: usize) {
    let (good, bad) = (&PHONES.builds[1], &KIOSKS.builds[1]);
    let (phones, kiosks) = (PHONES.package, KIOSKS.package);
    say(&format!(
        r"{devices} devices are enrolled, {new} of them new. An hour of theirs is a second here.

Your turn: open {base}/
  login              {LOGIN}, password {password}

  Within a minute {phones} {} is on its way by a plan, step by step,
  and the gate of {kiosks} {} finds that it is a bad build and halts it.
  Nobody takes it back for you: open that build, see why it was halted, and decide.
  Then release {} or {} yourself. Ctrl-C ends the demo.
",
        good.version_name, bad.version_name, KIOSKS.builds[2].version_name, PHONES.builds[2].version_name
    ));
}

/// What is told of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Where its release stands.
    pub(super) stands: String,
    /// Numbers that change all the time.
    pub(super) counts: String,
}

/// A line that tells how the fleet is doing: overwritten on a terminal, and printed elsewhere when a release has gone on.
#[derive(Default)]
pub(super) struct LiveLine {
    printed: Option<(Instant, Vec<String>)>,
}

impl LiveLine {
    /// Shows where the releases stand.
    pub(super) fn show(&mut self, told: &[Told]) {
        let parts = told
            .iter()
            .map(|told| format!("{}, {}", told.stands, told.counts));
        let line = parts.collect::<Vec<_>>().join(" · ");
        if io::stdout().is_terminal() {
            let mut out = io::stdout();
            // Cut off at the right edge of a narrow terminal: a line that wraps cannot be overwritten.
            let _ = write!(out, "\r\x1b[K\x1b[?7l{line}\x1b[?7h").and_then(|()| out.flush());
            return;
        }
        #[allow(clippy::disallowed_methods, reason = "a person really reads it")]
        let now = Instant::now();
        if self.is_due(told, now) {
            say(&line);
        }
    }

    /// Whether a line is to be printed: a release has gone on, and the line before is old enough.
    fn is_due(&mut self, told: &[Told], now: Instant) -> bool {
        let stands: Vec<String> = told.iter().map(|told| told.stands.clone()).collect();
        let is_due = !stands.is_empty()
            && self
                .printed
                .as_ref()
                .is_none_or(|(at, last)| now - *at >= PLAIN_LINE_EVERY && *last != stands);
        if is_due {
            self.printed = Some((now, stands));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_a_line_comes_when_a_release_has_gone_on_and_never_twice_within_ten_seconds() {
        let told = |stands: &str, counts: &str| {
            let (stands, counts) = (stands.to_owned(), counts.to_owned());
            vec![Told { stands, counts }]
        };
        #[allow(clippy::disallowed_methods, reason = "a moment to count from")]
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let mut line = LiveLine::default();
        assert!(!line.is_due(&[], after(0)), "nothing is to be told");
        assert!(line.is_due(&told("step 1", "1 installed"), after(1)));
        assert!(
            !line.is_due(&told("step 1", "9 installed"), after(30)),
            "numbers alone are no news"
        );
        assert!(line.is_due(&told("step 2", "9 installed"), after(31)));
        assert!(
            !line.is_due(&told("HALTED", "9 installed"), after(40)),
            "too soon"
        );
        assert!(line.is_due(&told("HALTED", "9 installed"), after(41)));
    }
}
