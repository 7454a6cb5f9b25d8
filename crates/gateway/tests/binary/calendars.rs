//! Calendars made and changed at the console, and the rollouts that go by them.

use reqwest::multipart::{Form, Part};
use tidegate_testkit::apks::{self, PACKAGE};

use crate::program::{client, refuses, says, serve};

#[tokio::test]
async fn a_calendar_is_made_looked_at_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (_server, addr) = serve(folder);
    let made = says(
        folder,
        &[
            "calendar",
            "create",
            "nights",
            "--window",
            "mon-fri 22:00-04:00",
            "--window",
            "sun,sat 00:00-24:00",
            "--freeze",
            "2026-12-20T18:00..2027-01-06",
            "--freeze",
            "12-24..01-02",
        ],
    );
    let lines: Vec<&str> = made.lines().collect();
    assert!(
        lines[0].starts_with("nights: each device's own time, else UTC, 2 windows, 2 freezes, revision 1"),
        "{made}"
    );
    let below = [
        "  window: mon,tue,wed,thu,fri 22:00-04:00",
        "  window: sat,sun 00:00-24:00",
        "  freeze: 2026-12-20T18:00..2027-01-06",
        "  freeze: 12-24..01-02, every year",
    ];
    assert_eq!(lines[1..], below);
    assert_eq!(says(folder, &["calendar", "show", "nights"]), made);
    assert_eq!(says(folder, &["calendar", "list"]).trim_end(), lines[0]);
    let always = says(
        folder,
        &["calendar", "create", "always", "--zone", "europe/berlin"],
    );
    assert!(
        always.contains("Europe/Berlin") && always.contains("always open"),
        "{always}"
    );
    let ahead = says(folder, &["calendar", "openings", "always", "--days", "3"]);
    assert!(
        ahead.starts_with("by the clock of Europe/Berlin, in UTC:\n") && ahead.lines().count() == 2,
        "{ahead}"
    );

    let token = says(folder, &["token", "--subject", "ann", "--role", "operator"]);
    let form = Form::new().part("file", Part::bytes(apks::build(PACKAGE, 2)).file_name("app.apk"));
    let upload = client().post(format!("http://{addr}/v1/apk/upload"));
    let answer = upload
        .bearer_auth(token.trim())
        .multipart(form)
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    let rollout = says(
        folder,
        &[
            "rollout",
            "create",
            "1",
            "--percent",
            "10",
            "--download-calendar",
            "nights",
            "--install-calendar",
            "always",
            "--ignore-freeze",
        ],
    );
    for line in [
        "  calendar for downloading: nights",
        "  calendar for installing: always",
        "  ignores freezes: yes",
    ] {
        assert!(rollout.contains(line), "{rollout}");
    }
    let kept = refuses(folder, 1, &["calendar", "delete", "nights"]);
    assert!(kept.contains("rollout 1"), "{kept}");
    let edited = says(
        folder,
        &[
            "rollout",
            "edit",
            "1",
            "--revision",
            "1",
            "--download-calendar",
            "",
            "--ignore-freeze",
            "false",
        ],
    );
    assert!(
        !edited.contains("nights") && !edited.contains("ignores"),
        "{edited}"
    );
    let changed = says(
        folder,
        &[
            "calendar",
            "change",
            "nights",
            "--window",
            "fri-mon 01:00-02:00",
            "--revision",
            "1",
        ],
    );
    assert!(
        changed.contains("revision 2") && changed.contains("window: mon,fri,sat,sun 01:00-02:00"),
        "{changed}"
    );
    let late = refuses(folder, 1, &["calendar", "change", "nights", "--revision", "1"]);
    assert!(late.contains("revision 2"), "{late}");
    assert!(says(folder, &["calendar", "delete", "nights"]).starts_with("deleted nights"));

    let cases: [(i32, &[&str], &str); 8] = [
        (2, &["calendar", "create", "a b"], "ASCII letters"),
        (
            2,
            &["calendar", "create", "x", "--window", "mon 22:00"],
            "mon-fri 22:00-04:00",
        ),
        (
            2,
            &["calendar", "create", "x", "--window", "mon 22:00-22:00"],
            "both at 22:00",
        ),
        (
            2,
            &["calendar", "create", "x", "--window", "someday 22:00-23:00"],
            "mon-fri 22:00-04:00",
        ),
        (
            2,
            &["calendar", "create", "x", "--freeze", "2026-12-20"],
            "2026-12-20..2027-01-06",
        ),
        (
            1,
            &["calendar", "create", "x", "--zone", "Europe/Atlantis"],
            "Europe/Atlantis",
        ),
        (
            1,
            &["calendar", "openings", "always", "--days", "401"],
            "from 1 to 400",
        ),
        (1, &["calendar", "show", "nights"], "nights"),
    ];
    for (code, arguments, part) in cases {
        let said = refuses(folder, code, arguments);
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
    assert_eq!(says(folder, &["calendar", "list"]).lines().count(), 1);
}
