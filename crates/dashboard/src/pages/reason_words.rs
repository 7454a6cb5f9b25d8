//! What devices report, in plain words: one table for all pages. The codes are those of `docs/agent.md`; one that it does
//! not know is shown as it is.

use std::borrow::Cow;

/// The reasons that agents send, and what they mean.
const REASONS: [(&str, &str); 27] = [
    ("storage_low", "Not enough storage"),
    ("storage", "Android found no storage for it"),
    ("battery_low", "Battery too low"),
    ("wifi_required", "Waits for Wi-Fi"),
    ("in_call", "Somebody is on the phone"),
    ("outside_window", "Outside the install window"),
    ("not_charging", "Waits until it charges"),
    ("not_idle", "Waits until nobody uses it"),
    ("no_consent", "The app does not agree yet"),
    ("unknown_condition", "The agent is too old for a condition"),
    ("size_mismatch", "The file has another size"),
    ("sha256_mismatch", "The file arrived damaged"),
    ("package_mismatch", "The file holds another package"),
    ("version_mismatch", "The file holds another version"),
    ("signature_refused", "The signature is not valid on this device"),
    ("signer_mismatch", "Signed with another key"),
    (
        "installed_signer_mismatch",
        "The installed app has another signer",
    ),
    ("downgrade_refused", "Android refused the older version"),
    ("check_failed", "The check of the file broke off"),
    ("blocked", "Blocked on the device"),
    ("aborted", "Aborted on the device"),
    ("invalid", "Android found the file invalid"),
    ("conflict", "Conflicts with an installed app"),
    ("incompatible", "Not compatible with the device"),
    ("timeout", "The installation took too long"),
    ("failure", "The installation failed without a reason"),
    ("not_there", "Reported as installed, but not there"),
];

/// A reason in words.
pub(crate) fn reason(code: &str) -> Cow<'_, str> {
    let known = REASONS.iter().find(|(known, _)| *known == code);
    known.map_or(Cow::Borrowed(code), |(_, words)| Cow::Borrowed(*words))
}

/// All reasons that have words, for a field that suggests them.
pub(crate) fn reasons() -> &'static [(&'static str, &'static str)] {
    &REASONS
}

/// What a device reported, in words.
pub(crate) fn status(code: &str) -> &str {
    match code {
        "downloaded" => "Downloaded",
        "verify_failed" => "Did not verify",
        "install_success" => "Installed",
        "install_failed" => "Installation failed",
        "deferred" => "Put off",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_words_and_an_unknown_one_is_shown_as_it_is() {
        assert_eq!(reason("storage_low"), "Not enough storage");
        assert_eq!(reason("made_up"), "made_up");
        assert_eq!(status("install_failed"), "Installation failed");
        assert_eq!(status("made_up"), "made_up");
    }

    /// What `docs/agent.md` tells agents to send.
    #[test]
    fn every_reason_of_the_agents_guide_has_words() {
        let guide = include_str!("../../../../docs/agent.md");
        let (_, rules) = guide.split_once("the report's `reason`").unwrap();
        let (rules, others) = rules.split_once("### The safe moment").unwrap();
        let in_ticks = |text: &'static str| text.split('`').skip(1).step_by(2);
        let table = rules
            .lines()
            .chain(others.lines().filter(|line| line.starts_with("| `install_")));
        let mut codes: Vec<&str> = table
            .filter(|line| line.starts_with('|'))
            .filter_map(|line| line.trim_end_matches('|').rsplit_once('|'))
            .flat_map(|(_, last)| in_ticks(last))
            .collect();
        let (_, last) = others
            .split_once("Other reasons of `install_failed` in this agent:")
            .unwrap();
        codes.extend(in_ticks(last.split_once("when Android").unwrap().0));
        codes.retain(|code| {
            code.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        });
        codes.retain(|code| !["status", "deferred", "verify_failed"].contains(code));
        assert!(codes.len() > 20, "{codes:?}");
        for code in codes {
            assert_ne!(reason(code), code, "{code}");
        }
    }
}
