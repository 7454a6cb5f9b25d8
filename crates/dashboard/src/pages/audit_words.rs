//! What each action of the audit log is called in a sentence.

/// Every action that the server writes, with what it did. In braces stands what an entry tells: `before.…` and `after.…`
/// by the path of a value, and the words that [`super::audit_sentence`] knows.
pub(crate) const ACTIONS: &[(&str, &str)] = &[
    (
        "admin_token.create",
        "made an admin token for {name}, role {after.role}",
    ),
    ("admin_token.revoke", "revoked an admin token of {name}"),
    (
        "audit.seal",
        "sealed the audit log: {after.entries} entries, {after.users user}",
    ),
    ("calendar.change", "changed the calendar {name}"),
    ("calendar.create", "made the calendar {name}"),
    ("calendar.delete", "deleted the calendar {name}"),
    (
        "device.allow_enrolment",
        "let {device} enrol again until {after.allowed_until}",
    ),
    ("device.enrolment_refused", "was refused when enrolling {device}"),
    ("device.erase", "erased {device}"),
    (
        "device.import",
        "imported devices: {after.added} new, {after.updated} changed",
    ),
    ("device.retire", "retired {device}"),
    ("device.retry", "let {device} try again"),
    ("device.revoke", "revoked the token of {device}"),
    ("device.takeover", "enrolled {device} anew and took over its id"),
    (
        "enrollment_token.create",
        "made the enrolment token {name} for {after.uses device}",
    ),
    (
        "enrollment_token.hour",
        "counted the enrolments of an hour with the token {name}: {after.enrolled} enrolled, {after.refused} refused",
    ),
    (
        "enrollment_token.revoke",
        "revoked the enrolment token {name} after {before.used} of {before.uses use}",
    ),
    ("experiment.conclude", "concluded an experiment on {package}"),
    ("experiment.create", "began an experiment on {package}"),
    ("ota.build.edit", "changed how devices get past {build}"),
    ("ota.delete", "deleted version {before.version_code} of {package}"),
    ("ota.notes", "changed the release notes of {build}"),
    ("ota.nudge", "nudged {after.total_devices device}: {campaign}"),
    ("ota.nudge.cancel", "cancelled {campaign}"),
    ("ota.nudge.hold", "suspended {campaign}: {after.held}"),
    ("ota.nudge.pause", "paused {campaign}"),
    ("ota.nudge.resume", "resumed {campaign}"),
    ("ota.promote", "promoted {build} to {share}"),
    (
        "ota.rollback",
        "rolled {package} back from {before.version_name} to {build}",
    ),
    ("ota.rollout.adjust", "{adjusted}"),
    ("ota.rollout.advance", "moved {build} on to its next step"),
    ("ota.rollout.approve", "approved what was asked for {build}"),
    (
        "ota.rollout.break_glass",
        "approved {build} without a second person",
    ),
    ("ota.rollout.cancel", "cancelled the rollout of {build}"),
    ("ota.rollout.complete", "completed the rollout of {build}"),
    ("ota.rollout.create", "made a rollout of {build} at {share}"),
    ("ota.rollout.deny", "denied what was asked for {build}"),
    ("ota.rollout.edit", "{adjusted}"),
    ("ota.rollout.halt", "halted {build} at {share}"),
    ("ota.rollout.hold", "held {build} at {share}"),
    ("ota.rollout.pause", "paused {build} at {share}"),
    ("ota.rollout.resume", "resumed {build} at {share}"),
    ("ota.rollout.roll_back", "rolled the rollout of {build} back"),
    ("ota.rollout.start", "started {build} at {share}"),
    ("ota.rollout.step", "{stepped}"),
    ("ota.upload", "uploaded {build}"),
    (
        "package.allow_debuggable",
        "set whether debuggable builds of {package} are taken in: {after.allow_debuggable}",
    ),
    ("package.edit", "changed {changed} of {package}"),
    (
        "policy.change",
        "changed {changed} of the policy {after.policy_id} on {subject}",
    ),
    ("policy.create", "made the policy {after.policy_id} on {subject}"),
    (
        "policy.delete",
        "deleted the policy {before.policy_id} on {subject}",
    ),
    ("server.restored", "put a backup in the place of the database"),
    (
        "server.restored.dismiss",
        "said that the revocations since the backup were repeated",
    ),
    (
        "service_account.add",
        "added the service account {name}, role {after.role}",
    ),
    ("service_account.remove", "removed the service account {name}"),
    (
        "service_account.token",
        "made another token for the service account {name}",
    ),
    (
        "signer.pin",
        "pinned {package} to the signer {after.signer_fingerprint}",
    ),
    ("signer.unpin", "took the signer's pin from {package}"),
    ("tag.add", "gave the tag {name} to {after.added device}"),
    (
        "tag.change",
        "gave the tag {name} to {after.added device} and took it from {after.removed}",
    ),
    ("tag.delete", "deleted the tag {name}"),
    ("tag.remove", "took the tag {name} from {after.removed device}"),
    ("tag.rename", "renamed the tag {name} to {after.tag}"),
    ("user.add", "added the user {name}, role {after.role}"),
    ("user.disable", "disabled the user {name}"),
    ("user.enable", "enabled the user {name} again"),
    ("user.import", "imported the user {name}, role {after.role}"),
    ("user.login", "logged in from {after.address}"),
    ("user.logout", "logged out"),
    ("user.password", "gave the user {name} another password"),
    ("user.remove", "removed the user {name}"),
    (
        "user.role",
        "changed the role of {name} from {before.role} to {after.role}",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// The crates whose code writes entries.
    const WRITERS: [&str; 3] = ["domain", "storage", "service"];

    /// What stands before the name of an action, without spaces, also where its noun is not in the table.
    const ANNOUNCED: [&str; 2] = [".note(\"", "action:\""];

    fn sources(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap();
                found.push(code.chars().filter(|letter| !letter.is_whitespace()).collect());
            }
        }
    }

    /// A word such as `ota.promote`.
    fn is_action(text: &str) -> bool {
        let letters =
            |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        text.contains('.') && text.split('.').all(letters)
    }

    /// The actions that a source names: literals that begin with a noun of the table, unless they are names of events in
    /// the log, and whatever is handed to a note.
    fn named_in(code: &str, nouns: &BTreeSet<&str>) -> BTreeSet<String> {
        let literals = code.match_indices('"').filter_map(|(at, _)| {
            let end = code[at + 1..].find('"')?;
            let text = &code[at + 1..at + 1 + end];
            let announced = ANNOUNCED.iter().any(|lead| code[..=at].ends_with(lead));
            let known = nouns.contains(text.split('.').next()?) && !code[..at].ends_with("event=");
            (is_action(text) && (announced || known)).then(|| text.to_owned())
        });
        literals.collect()
    }

    #[test]
    fn every_action_that_the_server_writes_has_a_sentence_and_none_is_left_over() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut code = Vec::new();
        for writer in WRITERS {
            sources(&crates.join(writer).join("src"), &mut code);
        }
        let words: BTreeSet<String> = ACTIONS.iter().map(|(action, _)| (*action).to_owned()).collect();
        let nouns = ACTIONS
            .iter()
            .filter_map(|(action, _)| action.split('.').next())
            .collect();
        let written: BTreeSet<String> = code.iter().flat_map(|code| named_in(code, &nouns)).collect();
        assert_eq!(
            written.difference(&words).collect::<Vec<_>>(),
            Vec::<&String>::new(),
            "have no sentence"
        );
        assert_eq!(
            words.difference(&written).collect::<Vec<_>>(),
            Vec::<&String>::new(),
            "nobody writes"
        );
    }

    #[test]
    fn an_action_is_found_however_it_is_written() {
        let nouns = BTreeSet::from(["ota"]);
        let code =
            ".note(\"new.thing\",x)action:\"other.thing\"event=\"ota.said\"begin(\"ota.x.y\")\"users.name\"";
        let found: Vec<String> = named_in(code, &nouns).into_iter().collect();
        assert_eq!(found, ["new.thing", "ota.x.y", "other.thing"]);
    }
}
