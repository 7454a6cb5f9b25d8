//! What an entry of the audit log says, as a sentence with links: "ann raised 1.14.0 from 50 % to 75 %".

use serde_json::Value;
use tidegate_service::AuditEntry;

use super::audit_words::ACTIONS;
use crate::show;

/// How much of one value a sentence tells, in characters. The rest stands among the changes.
const MAX_TOLD_CHARS: usize = 80;

/// How many changed values a sentence names.
const MAX_NAMES: usize = 4;

/// A part of a sentence; `href` is empty where it leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub text: String,
    pub href: String,
}

impl Piece {
    fn text(text: impl Into<String>) -> Self {
        Self::link(text, String::new())
    }

    fn link(text: impl Into<String>, href: String) -> Self {
        let text = text.into();
        Self { text, href }
    }
}

/// The sentence, from who did it on. An action that only an older or a newer server knows is named as it is.
pub(crate) fn sentence(entry: &AuditEntry) -> Vec<Piece> {
    let actor = Piece::link(&entry.actor, filtered("actor", &entry.actor));
    let mut pieces = vec![actor, Piece::text(" ")];
    match ACTIONS.iter().find(|(action, _)| *action == entry.action) {
        Some((_, words)) => fill(entry, words, &mut pieces),
        None => pieces.push(Piece::text(format!("did {} to {}", entry.action, entry.target))),
    }
    if waits(entry) {
        pieces.push(Piece::text(", which waits for another person's approval"));
    }
    pieces
}

/// The same as plain text.
pub(crate) fn text(entry: &AuditEntry) -> String {
    sentence(entry).into_iter().map(|piece| piece.text).collect()
}

/// Whether what was asked for has not happened yet.
fn waits(entry: &AuditEntry) -> bool {
    let asks = |side: &Option<Value>| at(side.as_ref(), "request").is_some();
    let proposed = value(entry, "after.state").is_some_and(|state| state == "proposed");
    (proposed && entry.before.is_none()) || (asks(&entry.after) && !asks(&entry.before))
}

fn fill(entry: &AuditEntry, words: &str, pieces: &mut Vec<Piece>) {
    let mut rest = words;
    while let Some((text, more)) = rest.split_once('{') {
        let (name, more) = more.split_once('}').unwrap_or((more, ""));
        if !text.is_empty() {
            pieces.push(Piece::text(text));
        }
        place(entry, name, pieces);
        rest = more;
    }
    if !rest.is_empty() {
        pieces.push(Piece::text(rest));
    }
}

/// What stands in the place of a name in braces.
fn place(entry: &AuditEntry, name: &str, pieces: &mut Vec<Piece>) {
    let after_slash = entry.target.split_once('/').map_or("", |(_, name)| name);
    let target = |text: &str| Piece::link(text, filtered("target", &entry.target));
    match name {
        "build" => pieces.push(build(entry)),
        "name" => pieces.push(target(after_slash)),
        "package" => pieces.push(Piece::link(
            after_slash,
            format!("/builds{}", show::query(&[("package", after_slash)])),
        )),
        "device" => pieces.push(device(entry)),
        "campaign" => pieces.push(Piece::link(
            format!("campaign {after_slash}"),
            format!("/nudges/{}", show::segment(after_slash)),
        )),
        "subject" => pieces.push(match entry.target.starts_with("policy/") {
            true => Piece::text(told(
                value(entry, "after.subject").or(value(entry, "before.subject")),
            )),
            false => device(entry),
        }),
        "share" => pieces.push(Piece::text(format!("{} %", told(value(entry, "after.percent"))))),
        "changed" => pieces.push(Piece::text(changed(entry))),
        "adjusted" if share_moved(entry).is_none() => {
            fill(entry, "changed {changed} of the rollout of {build}", pieces);
        }
        "stepped" if share_moved(entry).is_none() => fill(entry, stood_or_moved(entry), pieces),
        "adjusted" | "stepped" => {
            let verb = share_moved(entry).unwrap_or_default();
            let words = format!("{verb} {{build}} from {{before.percent}} % to {{share}}");
            fill(entry, &words, pieces);
        }
        counted if counted.contains(' ') => pieces.push(Piece::text(many(entry, counted))),
        path => pieces.push(Piece::text(told(value(entry, path)))),
    }
}

/// What became of a plan whose share is what it was.
fn stood_or_moved(entry: &AuditEntry) -> &'static str {
    let waits = entry
        .after
        .as_ref()
        .and_then(|after| after.pointer("/gate/waits/what"));
    match waits.and_then(Value::as_str) {
        Some("blind") => "let the plan of {build} stand still, since its gate sees nothing",
        Some("waiting_evidence") => "let the plan of {build} wait for its gate",
        Some("stuck") => "found the plan of {build} stuck",
        _ => "moved the plan of {build} on",
    }
}

/// A number with what it counts: `after.uses device` is `1 device`.
fn many(entry: &AuditEntry, counted: &str) -> String {
    let (path, what) = counted.split_once(' ').unwrap_or((counted, ""));
    let number = value(entry, path).and_then(Value::as_i64);
    number.map_or_else(|| format!("– {what}s"), |number| show::many(number, what))
}

/// `raised` or `lowered`, if the share is another one than before.
fn share_moved(entry: &AuditEntry) -> Option<&'static str> {
    let share = |path| value(entry, path).and_then(Value::as_f64);
    let (before, after) = (share("before.percent")?, share("after.percent")?);
    match before.total_cmp(&after) {
        std::cmp::Ordering::Less => Some("raised"),
        std::cmp::Ordering::Greater => Some("lowered"),
        std::cmp::Ordering::Equal => None,
    }
}

fn build(entry: &AuditEntry) -> Piece {
    let of = |name: &str| {
        let sides = [entry.after.as_ref(), entry.before.as_ref()];
        sides.into_iter().find_map(|side| at(side, name))
    };
    let id = of("build_id").and_then(Value::as_i64);
    let text = match (of("version_name").and_then(Value::as_str), of("version_code"), id) {
        (Some(name), _, _) if !name.is_empty() => shortened(name),
        (_, Some(code), _) => format!("version {code}"),
        (_, _, Some(id)) => format!("build {id}"),
        _ => "a build".to_owned(),
    };
    Piece::link(text, id.map(|id| format!("/builds/{id}")).unwrap_or_default())
}

/// A device by its id, as long as it is known.
fn device(entry: &AuditEntry) -> Piece {
    match entry.target.strip_prefix("device/") {
        Some(id) => Piece::link(id, format!("/devices/{}", show::segment(id))),
        None if entry.action == "device.erase" => Piece::text("a device"),
        None => Piece::text("a device that was erased since"),
    }
}

/// The names of the values that are others than before.
fn changed(entry: &AuditEntry) -> String {
    let object = |side: &'_ Option<Value>| {
        side.as_ref()
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    };
    let (before, after) = (object(&entry.before), object(&entry.after));
    let names = before
        .keys()
        .chain(after.keys().filter(|name| !before.contains_key(*name)));
    // Each edit counts the revision up, and says who was the editor.
    let told = names.filter(|name| !matches!(name.as_str(), "revision" | "edited_by"));
    let names: Vec<String> = told
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| name.replace('_', " "))
        .collect();
    match names.len() {
        0 => "nothing".to_owned(),
        1..=MAX_NAMES => names.join(", "),
        many => format!("{many} settings"),
    }
}

fn value<'a>(entry: &'a AuditEntry, path: &str) -> Option<&'a Value> {
    match path.split_once('.')? {
        ("before", name) => at(entry.before.as_ref(), name),
        ("after", name) => at(entry.after.as_ref(), name),
        _ => None,
    }
}

fn at<'a>(side: Option<&'a Value>, name: &str) -> Option<&'a Value> {
    side?.get(name).filter(|value| !value.is_null())
}

/// A value as a sentence tells it.
fn told(value: Option<&Value>) -> String {
    match value {
        None => "–".to_owned(),
        Some(Value::String(text)) => shortened(text),
        Some(Value::Bool(yes)) => (if *yes { "yes" } else { "no" }).to_owned(),
        Some(other) => shortened(&other.to_string()),
    }
}

fn shortened(text: &str) -> String {
    match text.chars().count() <= MAX_TOLD_CHARS {
        true => text.to_owned(),
        false => text.chars().take(MAX_TOLD_CHARS).collect::<String>() + "…",
    }
}

fn filtered(field: &str, value: &str) -> String {
    format!("/audit{}", show::query(&[(field, value)]))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::*;

    fn entry(action: &str, target: &str, before: Value, after: Value) -> AuditEntry {
        let side = |value: Value| Some(value).filter(|value| !value.is_null());
        AuditEntry {
            seq: 1,
            at: DateTime::UNIX_EPOCH,
            actor: "ann".into(),
            role: "operator".into(),
            action: action.into(),
            target: target.into(),
            pseudonym: None,
            before: side(before),
            after: side(after),
            request_id: None,
            hash: [0; 32],
        }
    }

    /// A rollout of version 1.14.0 at this share.
    fn offer(percent: impl Into<Value>, more: (&str, Value)) -> Value {
        let mut facts = json!({ "build_id": 7, "version_name": "1.14.0", "percent": percent.into(), "salt": null, "revision": 1 });
        facts[more.0] = more.1;
        facts
    }

    #[test]
    fn an_entry_reads_as_a_sentence() {
        let none = || ("salt", Value::Null);
        let (half, more) = (offer(50, none()), offer(75.5, none()));
        let (package, device) = ("package/com.example.app", "device/a b");
        for (action, target, before, after, expected) in [
            (
                "tag.add",
                "tag/lab",
                &Value::Null,
                &json!({"added": 1}),
                "ann gave the tag lab to 1 device",
            ),
            (
                "ota.rollout.adjust",
                package,
                &half,
                &more,
                "ann raised 1.14.0 from 50 % to 75.5 %",
            ),
            (
                "ota.rollout.step",
                package,
                &more,
                &half,
                "ann lowered 1.14.0 from 75.5 % to 50 %",
            ),
            (
                "ota.rollout.step",
                package,
                &half,
                &half,
                "ann moved the plan of 1.14.0 on",
            ),
            (
                "ota.rollout.step",
                package,
                &half,
                &offer(50, ("gate", json!({ "waits": { "what": "blind" } }))),
                "ann let the plan of 1.14.0 stand still, since its gate sees nothing",
            ),
            (
                "ota.rollout.edit",
                package,
                &half,
                &offer(50, ("wifi_only", true.into())),
                "ann changed wifi only of the rollout of 1.14.0",
            ),
            (
                "ota.delete",
                package,
                &json!({"version_code": 3}),
                &Value::Null,
                "ann deleted version 3 of com.example.app",
            ),
            (
                "device.revoke",
                device,
                &Value::Null,
                &Value::Null,
                "ann revoked the token of a b",
            ),
            (
                "device.erase",
                "pseudonym/x",
                &Value::Null,
                &Value::Null,
                "ann erased a device",
            ),
            (
                "device.revoke",
                "pseudonym/x",
                &Value::Null,
                &Value::Null,
                "ann revoked the token of a device that was erased since",
            ),
            (
                "policy.create",
                device,
                &Value::Null,
                &json!({"policy_id": 4}),
                "ann made the policy 4 on a b",
            ),
            (
                "user.role",
                "user/bob",
                &json!({"role": "viewer"}),
                &json!({"role": "admin"}),
                "ann changed the role of bob from viewer to admin",
            ),
            (
                "ota.promote",
                package,
                &Value::Null,
                &offer(5, ("state", "proposed".into())),
                "ann promoted 1.14.0 to 5 %, which waits for another person's approval",
            ),
            (
                "of.tomorrow",
                "x",
                &Value::Null,
                &Value::Null,
                "ann did of.tomorrow to x",
            ),
        ] {
            assert_eq!(
                text(&entry(action, target, before.clone(), after.clone())),
                expected
            );
        }
    }

    #[test]
    fn a_sentence_leads_to_what_it_names() {
        let leads = |action: &str, target: &str, after: Value| -> Vec<String> {
            let pieces = sentence(&entry(action, target, Value::Null, after)).into_iter();
            pieces
                .map(|piece| piece.href)
                .filter(|href| !href.is_empty())
                .collect()
        };
        let who = "/audit?actor=ann";
        assert_eq!(
            leads("ota.upload", "package/a.b", json!({"build_id": 7})),
            [who, "/builds/7"]
        );
        assert_eq!(
            leads("device.retire", "device/a/b?", Value::Null),
            [who, "/devices/a%2Fb%3F"]
        );
        assert_eq!(leads("device.retire", "pseudonym/x", Value::Null), [who]);
        assert_eq!(
            leads("ota.nudge.pause", "campaign/3", Value::Null),
            [who, "/nudges/3"]
        );
        assert_eq!(
            leads("user.add", "user/bob", Value::Null),
            [who, "/audit?target=user%2Fbob"]
        );
        assert_eq!(
            leads("signer.unpin", "package/a.b", Value::Null),
            [who, "/builds?package=a.b"]
        );
    }

    #[test]
    fn whatever_an_entry_holds_its_sentence_is_short_and_has_no_gap() {
        for (action, _) in ACTIONS {
            let long = json!("x".repeat(5000));
            let odd = json!({"percent": long, "build_id": [1], "version_name": long, "role": long, "request": null});
            for sides in [Value::Null, odd, json!("no object")] {
                let said = text(&entry(action, "x", sides.clone(), sides));
                assert!(said.len() < 500 && !said.contains(['{', '}']), "{action}: {said}");
            }
        }
    }
}
