//! Rollouts made and ended at the console reach the devices of the running server.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tidegate_testkit::apks::{self, PACKAGE};

use crate::program::{client, refuses, says, serve};

/// Longer than the second within which a server hears of a change beside it.
const TRIES: u32 = 100;

async fn upload(addr: SocketAddr, token: &str, version: i64) {
    let apk = apks::build(PACKAGE, version);
    let form = Form::new().part("file", Part::bytes(apk).file_name("app.apk"));
    let request = client().post(format!("http://{addr}/v1/apk/upload"));
    let answer = request.bearer_auth(token).multipart(form).send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
}

struct Phone {
    addr: SocketAddr,
    id: &'static str,
    token: String,
}

impl Phone {
    async fn enroll(addr: SocketAddr, id: &'static str, region: &str, token: &str) -> Self {
        let body = json!({ "enrollment_token": token, "device_id": id, "region": region });
        let request = client().post(format!("http://{addr}/v1/agent/enroll"));
        let answer: Value = request.json(&body).send().await.unwrap().json().await.unwrap();
        let token = answer["device_token"].as_str().unwrap().to_owned();
        Self { addr, id, token }
    }

    /// The version that it is offered, or why nothing.
    async fn told(&self, region: &str, runs: i64) -> Result<i64, String> {
        let query = format!(
            "device_id={}&package_name={PACKAGE}&current_version_code={runs}&region={region}&protocol=2",
            self.id
        );
        let request = client().get(format!("http://{}/v1/agent/update?{query}", self.addr));
        let answer = request.bearer_auth(&self.token).send().await.unwrap();
        if answer.status() == 200 {
            let manifest: Value = answer.json().await.unwrap();
            return Ok(manifest["version_code"].as_i64().unwrap());
        }
        Err(answer.headers()["tidegate-reason"].to_str().unwrap().to_owned())
    }

    /// Waits until it is told this.
    async fn hears(&self, region: &str, runs: i64, expected: Result<i64, &str>) {
        let expected = expected.map_err(str::to_owned);
        for _ in 0..TRIES {
            if self.told(region, runs).await == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(self.told(region, runs).await, expected);
    }
}

#[tokio::test]
async fn a_release_goes_its_way_from_the_console() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (_server, addr) = serve(folder);
    let admin = says(folder, &["token", "--subject", "ann", "--role", "operator"]);
    for version in [40, 41, 42] {
        upload(addr, admin.trim(), version).await;
    }
    let tokens = says(folder, &["enroll-token", "--uses", "2"]);
    let phone = Phone::enroll(addr, "till-7", "north", tokens.trim()).await;
    let other = Phone::enroll(addr, "till-8", "south", tokens.trim()).await;

    let base = says(folder, &["rollout", "create", "1", "--percent", "100"]);
    assert!(
        base.starts_with(&format!(
            "1 {PACKAGE} build 1, current base, active, 100 %, revision 1, made 20"
        )),
        "{base}"
    );
    assert!(base.ends_with(" by console\n"), "{base}");
    let steps = ["--step", "10 bake 1h", "--step", "100 over 2h"];
    let forecast = says(folder, &[&["rollout", "forecast", "3"][..], &steps].concat());
    let heads: Vec<&str> = forecast.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(heads[..4], ["share", "reached", "offered", "new"], "{forecast}");
    for (row, share) in [(2, "10 %"), (3, "100 %")] {
        let row = forecast.lines().nth(row).unwrap();
        assert!(row.trim_start().starts_with(share), "{forecast}");
    }
    assert!(
        forecast.contains("began with the same devices as rollout 1 (active)"),
        "{forecast}"
    );
    let nobody = refuses(folder, 1, &["rollout", "forecast", "9", "--percent", "10"]);
    assert!(nobody.contains("build 9"), "{nobody}");
    let north = "rollout create 3 --percent 100 --priority 100 --name";
    let north: Vec<&str> = north
        .split(' ')
        .chain(["north first", "--audience", "region == \"north\"", "--wifi-only"])
        .collect();
    let made = says(folder, &north);
    let lines: Vec<&str> = made.lines().collect();
    assert!(
        lines[0].starts_with(&format!(
            "2 {PACKAGE} build 3, priority 100, active, 100 %, revision 1"
        )),
        "{made}"
    );
    assert!(lines[0].ends_with(" by console: north first"), "{made}");
    let terms = ["  audience: region == \"north\"", "  download: over Wi-Fi only"];
    assert_eq!(lines[1..], terms);
    assert_eq!(
        says(folder, &north),
        made,
        "asked for again, it is not made again"
    );
    phone.hears("north", 39, Ok(42)).await;
    assert_eq!(other.told("south", 39).await, Ok(40));

    let barrier = says(folder, &["build", "edit", "2", "--barrier", "true"]);
    assert_eq!(
        barrier,
        format!("2 {PACKAGE} version 41, a barrier, from any version\n")
    );
    phone.hears("north", 40, Ok(41)).await;
    let from = says(folder, &["build", "edit", "3", "--min-from", "41"]);
    assert_eq!(
        from,
        format!("3 {PACKAGE} version 42, no barrier, from version 41 on\n")
    );
    says(folder, &["build", "edit", "2", "--barrier", "false"]);
    phone.hears("north", 40, Err("already_current")).await;
    let all = says(folder, &["build", "edit", "3", "--min-from", "0"]);
    assert!(all.ends_with("from any version\n"), "{all}");
    phone.hears("north", 40, Ok(42)).await;

    let edit = ["rollout", "edit", "2", "--revision", "1"];
    let edited = says(
        folder,
        &[
            &edit[..],
            &["--percent", "0.5", "--everybody", "--slice", "25:50"],
        ]
        .concat(),
    );
    assert!(edited.contains("active, 0.5 %, revision 2"), "{edited}");
    assert!(edited.contains("\n  slice: 50 % from 25 % on\n"), "{edited}");
    assert!(!edited.contains("audience"), "{edited}");
    let late = refuses(folder, 1, &[&edit[..], &["--percent", "100"]].concat());
    assert!(late.contains("revision"), "{late}");

    for (verb, state, told) in [
        ("pause", "paused", Err("paused")),
        ("resume", "active", Ok(40)),
        ("halt", "halted", Err("halted")),
    ] {
        let now = says(folder, &["rollout", verb, "1"]);
        assert!(now.contains(&format!("current base, {state}, ")), "{now}");
        other.hears("south", 39, told).await;
    }
    says(folder, &["rollout", "resume", "1"]);
    assert!(says(folder, &["rollout", "complete", "1"]).contains(", completed, "));
    assert!(says(folder, &["rollout", "cancel", "2"]).contains(", canceled, "));
    let ended = refuses(folder, 1, &["rollout", "pause", "2"]);
    assert!(ended.contains("rollout 2"), "{ended}");

    says(folder, &["rollout", "create", "2", "--percent", "100"]);
    let back = says(folder, &["rollout", "roll-back", "3"]);
    assert!(
        back.starts_with(&format!("3 {PACKAGE} build 2, base, rolled_back, ")),
        "{back}"
    );
    other.hears("south", 39, Ok(40)).await;

    let list = says(folder, &["rollout", "list", "--package", PACKAGE]);
    let numbers: Vec<&str> = list.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(numbers, ["4", "3", "2", "1"]);
    let canceled = says(
        folder,
        &["rollout", "list", "--state", "canceled", "--build", "3"],
    );
    assert_eq!(canceled.lines().count(), 1, "{canceled}");
    let shown = says(folder, &["rollout", "show", "2"]);
    assert!(shown.starts_with(canceled.trim_end()), "{shown}");
    let entries: Value = client()
        .get(format!("http://{addr}/v1/audit?action=ota.rollout.edit"))
        .bearer_auth(admin.trim())
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(entries["items"][0]["actor"], "console", "{entries}");
}

/// What devices wait for before they install is said, changed and taken back at the console.
#[tokio::test]
async fn terms_for_the_installation_are_said_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (_server, addr) = serve(folder);
    let admin = says(folder, &["token", "--subject", "ann", "--role", "operator"]);
    upload(addr, admin.trim(), 40).await;
    let words = |command: &str| -> Vec<String> {
        let arguments: Vec<&str> = command.split(' ').collect();
        let said = says(folder, &arguments);
        said.lines().skip(1).map(|line| line.trim().to_owned()).collect()
    };
    let made = words(
        "rollout create 1 --percent 10 --priority 5 --install-when idle,charging --install-deadline 2090-01-01T00:00:00Z",
    );
    assert_eq!(
        made,
        [
            "installs while: charging,idle",
            "install deadline: 2090-01-01T00:00:00Z"
        ]
    );
    let edited = words("rollout edit 1 --revision 1 --install-when app_consents --no-install-deadline");
    assert_eq!(edited, ["installs while: app_consents"]);
    let edit = ["rollout", "edit", "1", "--revision", "2", "--install-when", ""];
    assert_eq!(
        says(folder, &edit).lines().count(),
        1,
        "nothing is asked for any more"
    );
    let past = "rollout edit 1 --revision 3 --install-deadline 2020-01-01T00:00:00Z";
    let past: Vec<&str> = past.split(' ').collect();
    let refused = refuses(folder, 1, &past);
    assert!(
        refused.contains("install_deadline must be in the future"),
        "{refused}"
    );
}

#[tokio::test]
async fn what_is_wrong_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (_server, addr) = serve(folder);
    let admin = says(folder, &["token", "--subject", "ann", "--role", "operator"]);
    upload(addr, admin.trim(), 40).await;
    says(folder, &["rollout", "create", "1", "--percent", "10"]);
    let before = says(folder, &["rollout", "list"]);
    let cases: [(i32, &str, &str); 26] = [
        (
            2,
            "rollout create 1 --percent 10 --install-when moon_is_full",
            "app_consents",
        ),
        (
            2,
            "rollout create 1 --percent 10 --install-deadline tomorrow",
            "RFC 3339",
        ),
        (
            2,
            "rollout edit 1 --revision 1 --install-deadline 2030-01-01T00:00:00Z --no-install-deadline",
            "cannot be used with",
        ),
        (1, "rollout create 1 --percent 0", "from 0.01 to 100"),
        (1, "rollout create 1 --percent 0.001 --priority 5", "two decimals"),
        (1, "rollout create 9 --percent 10", "9"),
        (
            1,
            "rollout create 1 --percent 10 --audience sdk=30",
            "did you mean ==",
        ),
        (1, "rollout create 1 --percent 10 --slice 100:10", "slice.start"),
        (
            1,
            "rollout create 1 --percent 10 --priority 1 --keep-previous",
            "keep_previous",
        ),
        (2, "rollout create 1 --percent 10 --priority 1000001", "1000001"),
        (2, "rollout create 1 --percent 10 --slice half", "25:50"),
        (2, "rollout edit 1 --revision 1", "--percent"),
        (1, "rollout edit 1 --revision 1 --priority 7", "base"),
        (1, "rollout edit 1 --revision 1 --slice auto:10", "slice.start"),
        (1, "rollout show 99", "99"),
        (1, "rollout gate 1", "has no gate"),
        (1, "rollout gate 99", "99"),
        (
            2,
            "rollout create 1 --percent 10 --gate stop",
            "act, hold or watch",
        ),
        (
            2,
            "rollout create 1 --percent 10 --gate act --failed-percent 99",
            "from 0.01 to 50",
        ),
        (
            2,
            "rollout create 1 --percent 10 --gate act --corrupt-percent 0.001",
            "from 0.01 to 50",
        ),
        (
            2,
            "rollout create 1 --percent 10 --gate act --on-halt stop",
            "hold or roll-back",
        ),
        (2, "rollout create 1 --percent 10 --holdback", "--gate"),
        (2, "rollout create 1 --percent 10 --gate act --force", "--on-halt"),
        (
            1,
            "rollout create 1 --percent 10 --gate act --on-halt hold --force",
            "roll_back_forced",
        ),
        (
            2,
            "rollout edit 1 --revision 1 --gate act --no-gate",
            "cannot be used with",
        ),
        (1, "build edit 1 --min-from 40", "min_from_version"),
    ];
    for (code, command, part) in cases {
        let arguments: Vec<&str> = command.split(' ').collect();
        let said = refuses(folder, code, &arguments);
        assert!(said.contains(part), "{command}: {said}");
    }
    refuses(folder, 2, &["build", "edit", "1"]);
    assert_eq!(says(folder, &["rollout", "list"]), before);
}

#[tokio::test]
async fn a_gate_is_asked_for_read_and_answered_from_the_console() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (_server, addr) = serve(folder);
    let admin = says(folder, &["token", "--subject", "ann", "--role", "operator"]);
    upload(addr, admin.trim(), 40).await;
    let console = |command: &str| says(folder, &command.split(' ').collect::<Vec<_>>());
    let made = console(
        "rollout create 1 --percent 100 --gate act --failed-percent 1.5 --no-lost --holdback --on-halt roll-back --force",
    );
    let terms = "  gate: act, tolerates 1.5 % failed and 0.2 % corrupt, no silence, 5 % held back; on halt roll_back, forced";
    assert!(made.contains(terms), "{made}");
    let edited = console("rollout edit 1 --revision 1 --gate hold");
    let terms = "  gate: hold, tolerates 2 % failed and 0.2 % corrupt; on halt roll_back, forced";
    assert!(edited.contains(terms), "what follows a halt stays: {edited}");
    let told = console("rollout gate 1");
    for part in [
        "rollout 1, build 1, active",
        "gate: hold",
        "segment 1, since 20",
        "failures to acknowledge: 0",
        "is halted by a given test in at most 1 rollout of 100",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }

    console("rollout halt 1");
    let refused = refuses(folder, 1, &["rollout", "resume", "1"]);
    assert!(refused.contains("acknowledged_failures"), "{refused}");
    let resume = ["rollout", "resume", "1", "--acknowledged-failures", "0"];
    let refused = refuses(folder, 1, &resume);
    assert!(refused.contains("remark"), "{refused}");
    let resumed = says(folder, &[&resume[..], &["--remark", "a drill"]].concat());
    assert!(resumed.contains(", active,"), "{resumed}");
    assert!(console("rollout gate 1").contains("segment 2"));

    let revision = resumed
        .split("revision ")
        .nth(1)
        .unwrap()
        .split(',')
        .next()
        .unwrap();
    let without = console(&format!("rollout edit 1 --revision {revision} --no-gate"));
    assert!(!without.contains("gate:"), "{without}");
    let package = console(&format!("package edit {PACKAGE} --gate act --failed-percent 1"));
    assert!(package.contains("; gate: act, tolerates 1 % failed"), "{package}");
    let package = console(&format!("package edit {PACKAGE} --no-gate"));
    assert!(!package.contains("gate:"), "{package}");
}
