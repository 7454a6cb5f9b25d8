//! A server that is killed while it writes, again and again: no acknowledged write is lost, none is there twice, and the
//! audit log's chain is whole.
//!
//! Each engine's server is killed three times, or as often as `KILL_LOOP` says: `just kill-loop 1000`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate_testkit::apks;
use tidegate_testkit::fcm::StandIn;
use tidegate_testkit::postgres::{self, Database};

use crate::program::{Running, client, exited, out, tidegate};

/// The package whose build devices install.
const INSTALLED: &str = "com.example.app";

/// The package whose rollout is paused and resumed.
const PAUSED: &str = "com.example.other";

/// How many writes are acknowledged before the kill: at least one, and at most this many.
const MOST_WRITES: u64 = 24;

/// How much later the server is killed, in milliseconds, so that every moment of a write is met.
const MOST_MS: u64 = 16;

/// Each multiple of it falls elsewhere, and in every run on the same places.
const SPREAD: u64 = 7919;

/// A long run tells how far it is.
const TOLD_EVERY: u64 = 50;

fn rounds() -> u64 {
    let given = std::env::var("KILL_LOOP").ok();
    given.map_or(3, |text| text.parse().expect("KILL_LOOP is a number"))
}

/// An answer that came whole; `None`: the server was killed, and nobody knows what became of the request.
async fn answer(request: RequestBuilder) -> Option<(u16, Value)> {
    let answer = request.send().await.ok()?;
    let status = answer.status().as_u16();
    let bytes = answer.bytes().await.ok()?;
    Some((status, serde_json::from_slice(&bytes).unwrap_or_default()))
}

/// An answer that has to come, with this status.
async fn must(request: RequestBuilder, expected: u16) -> Value {
    let (status, body) = answer(request).await.expect("the server answers");
    assert_eq!(status, expected, "{body}");
    body
}

/// Everything that outlives the server.
struct Fleet {
    folder: TempDir,
    database: Option<Database>,
    push: StandIn,
    admin: String,
    build: i64,
    paused: i64,
    known: Known,
}

/// What was acknowledged.
#[derive(Default)]
struct Known {
    /// Devices' tokens, by their ids.
    devices: BTreeMap<String, String>,
    /// Devices that reported their installation.
    installed: u64,
    /// Campaigns, by the key that they were asked for with.
    campaigns: BTreeMap<String, i64>,
    /// How often a rollout was paused or resumed.
    verbs: u64,
}

/// What was acknowledged while one server ran, and the one request of each writer whose answer was lost.
#[derive(Default)]
struct Round {
    enrolled: Vec<(String, String)>,
    enrolling: Option<String>,
    reports: u64,
    report: Option<(String, Value)>,
    verbs: Vec<&'static str>,
    verb: Option<&'static str>,
    campaigns: Vec<(String, i64)>,
    campaign: Option<String>,
}

impl Round {
    /// How many writes were acknowledged.
    fn writes(&self) -> u64 {
        (self.enrolled.len() + self.verbs.len() + self.campaigns.len()) as u64 + self.reports
    }
}

type Shared = Arc<Mutex<Round>>;

fn noted(round: &Shared, note: impl FnOnce(&mut Round)) {
    note(&mut round.lock().unwrap());
}

/// A server that runs, and how to call it.
struct Server {
    running: Running,
    base: String,
    http: Client,
    admin: String,
}

impl Server {
    fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.http
            .post(format!("{}{path}", self.base))
            .bearer_auth(&self.admin)
            .json(body)
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.http
            .get(format!("{}{path}", self.base))
            .bearer_auth(&self.admin)
    }

    /// All items of a list.
    async fn all(&self, path: &str) -> Vec<Value> {
        let (mut items, mut token) = (Vec::new(), String::new());
        loop {
            let page = must(self.get(&format!("{path}?page_size=500&page_token={token}")), 200).await;
            items.extend(page["items"].as_array().cloned().unwrap_or_default());
            token = page["next_page_token"].as_str().unwrap_or_default().to_owned();
            if token.is_empty() {
                return items;
            }
        }
    }
}

fn command(folder: &Path, database: Option<&Database>, push: &StandIn) -> Command {
    let mut command = tidegate(folder);
    command
        .env("TIDEGATE_LISTEN", "127.0.0.1:0")
        .env("TIDEGATE_LOG", "warn,tidegate_gateway::server=info")
        .env("TIDEGATE_FCM_SERVICE_ACCOUNT", folder.join("account.json"))
        .env("TIDEGATE_FCM_ENDPOINT", push.endpoint());
    if let Some(database) = database {
        command
            .env("TIDEGATE_DATABASE_URL", database.url())
            .env("TIDEGATE_DATABASE_POOL_SIZE", "4");
    }
    command
}

impl Fleet {
    async fn new(database: Option<Database>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let push = StandIn::start().await.unwrap();
        std::fs::write(folder.path().join("account.json"), push.service_account()).unwrap();
        let mut token = command(folder.path(), database.as_ref(), &push);
        token.args("admin --init token --subject loop --role admin --ttl 30d".split(' '));
        let token = token.output().unwrap();
        exited(&token, 0);
        let mut fleet = Self {
            folder,
            database,
            push,
            admin: out(&token).trim().to_owned(),
            build: 0,
            paused: 0,
            known: Known::default(),
        };
        let server = fleet.serve();
        fleet.build = released(&server, INSTALLED, 2).await;
        fleet.paused = released(&server, PAUSED, 2).await;
        fleet
    }

    fn serve(&self) -> Server {
        let mut command = command(self.folder.path(), self.database.as_ref(), &self.push);
        command.arg("serve");
        let running = Running::start(command);
        let line: Value = serde_json::from_str(&running.line("ota.server.start")).unwrap();
        Server {
            base: format!("http://{}", line["listen"].as_str().unwrap()),
            running,
            http: client(),
            admin: self.admin.clone(),
        }
    }

    /// Writes to a server until it is killed.
    async fn round(&self, number: u64, server: Server) -> (Round, DateTime<Utc>) {
        #[allow(clippy::disallowed_methods, reason = "the server tells the system's time")]
        let begun = Utc::now();
        let body = json!({ "uses": 10_000 });
        let token = must(server.post("/v1/enrollment-tokens", &body), 201).await;
        let token = token["enrollment_token"].as_str().unwrap().to_owned();
        let round = Shared::default();
        let Server { running, .. } = &server;
        let killed = async {
            let spread = number.wrapping_mul(SPREAD);
            while round.lock().unwrap().writes() <= spread % MOST_WRITES {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(Duration::from_millis(spread / MOST_WRITES % MOST_MS)).await;
            running.signal("KILL");
        };
        tokio::join!(
            killed,
            enroll(&server, number, &token, &round),
            report(&server, self, number, &round),
            pause_and_resume(&server, self.paused, &round),
            nudge(&server, number, &round),
        );
        server.running.wait();
        let round = std::mem::take(&mut *round.lock().unwrap());
        (round, begun)
    }

    /// Looks whether the next server knows what the last one acknowledged, and settles what nobody knows by asking again.
    async fn check(&mut self, server: &Server, round: Round, begun: DateTime<Utc>) {
        let verified = must(server.get("/v1/audit/verify"), 200).await;
        assert_eq!(verified["intact"], true, "{verified}");
        self.check_devices(server, &round).await;
        self.check_reports(server, &round).await;
        self.check_rollout(server, &round, begun).await;
        self.check_campaigns(server, round).await;
    }

    async fn check_devices(&mut self, server: &Server, round: &Round) {
        for (id, token) in &round.enrolled {
            let known = must(server.get(&format!("/v1/devices/{id}")), 200).await;
            assert_eq!(known["device_id"], json!(id), "{known}");
            self.known.devices.insert(id.clone(), token.clone());
        }
        if let Some(id) = &round.enrolling {
            let body = json!({ "uses": 1 });
            let token = must(server.post("/v1/enrollment-tokens", &body), 201).await;
            let known = answer(server.get(&format!("/v1/devices/{id}"))).await.unwrap().0 == 200;
            // One that was written before the kill counts as known; nobody has its token.
            if !known {
                let body = json!({ "enrollment_token": token["enrollment_token"], "device_id": id });
                let enrolled = server
                    .http
                    .post(format!("{}/v1/agent/enroll", server.base))
                    .json(&body);
                must(enrolled, 201).await;
            }
            self.known.devices.insert(id.clone(), String::new());
        }
    }

    async fn check_reports(&mut self, server: &Server, round: &Round) {
        let acknowledged = self.known.installed + round.reports;
        let counted = self.installed(server).await;
        let lost = u64::from(round.report.is_some());
        assert!(
            (acknowledged..=acknowledged + lost).contains(&counted),
            "{acknowledged} and {lost} reports, of which {counted} are counted"
        );
        if let Some((id, report)) = &round.report {
            let token = &self.known.devices[id];
            let again = server.http.post(format!("{}/v1/agent/report", server.base));
            must(again.bearer_auth(token).json(report), 200).await;
        }
        self.known.installed = acknowledged + lost;
        assert_eq!(self.installed(server).await, self.known.installed, "counted once");
    }

    async fn installed(&self, server: &Server) -> u64 {
        let path = format!("/v1/apk/{}/deployment-stats?hours=1", self.build);
        must(server.get(&path), 200).await["installs_success"]
            .as_u64()
            .unwrap()
    }

    async fn check_rollout(&mut self, server: &Server, round: &Round, begun: DateTime<Utc>) {
        let from = begun.to_rfc3339_opts(SecondsFormat::Micros, true);
        let mut entries = 0;
        for verb in ["pause", "resume"] {
            let path = format!("/v1/audit?action=ota.rollout.{verb}&page_size=500&from={from}");
            let log = must(server.get(&path), 200).await;
            entries += log["items"].as_array().unwrap().len();
        }
        let acknowledged = round.verbs.len();
        let lost = usize::from(round.verb.is_some());
        assert!(
            (acknowledged..=acknowledged + lost).contains(&entries),
            "{acknowledged} and {lost} verbs, of which {entries} are in the log"
        );
        // The state is the last verb's that is in the log.
        let done = [&round.verbs[..], round.verb.as_slice()].concat();
        let state = must(server.get(&format!("/v1/apk/{}", self.paused)), 200).await;
        let expected = match entries.checked_sub(1).map(|last| done[last]) {
            Some("pause") => "paused",
            _ => "active",
        };
        assert_eq!(state["rollout_state"], expected, "{done:?}: {state}");
        if expected == "paused" {
            must(
                server.post(&format!("/v1/apk/{}/resume", self.paused), &json!({})),
                200,
            )
            .await;
        }
        self.known.verbs += entries as u64;
    }

    async fn check_campaigns(&mut self, server: &Server, round: Round) {
        for (key, id) in &round.campaigns {
            let again = must(server.post("/v1/apk/nudge-update", &order(key)), 200).await;
            assert_eq!(again["campaign_id"], *id, "{key}");
        }
        self.known.campaigns.extend(round.campaigns);
        if let Some(key) = round.campaign {
            let first = must(server.post("/v1/apk/nudge-update", &order(&key)), 200).await;
            let again = must(server.post("/v1/apk/nudge-update", &order(&key)), 200).await;
            assert_eq!(first["campaign_id"], again["campaign_id"], "{key}");
            self.known
                .campaigns
                .insert(key, first["campaign_id"].as_i64().unwrap());
        }
    }

    /// Counts everything, at the end.
    async fn count(&self, server: &Server) {
        let devices = server.all("/v1/devices").await;
        assert_eq!(devices.len(), self.known.devices.len(), "devices");
        let campaigns = server.all("/v1/nudges").await;
        assert_eq!(campaigns.len(), self.known.campaigns.len(), "campaigns");
    }
}

async fn released(server: &Server, package: &str, version: i64) -> i64 {
    let apk = apks::build(package, version);
    let form = Form::new().part("file", Part::bytes(apk).file_name("app.apk"));
    let upload = server.http.post(format!("{}/v1/apk/upload", server.base));
    let build = must(upload.bearer_auth(&server.admin).multipart(form), 201).await;
    let build = build["build_id"].as_i64().unwrap();
    let promote = json!({ "rollout_percent": 100 });
    must(server.post(&format!("/v1/apk/{build}/promote"), &promote), 200).await;
    build
}

async fn enroll(server: &Server, round: u64, token: &str, notes: &Shared) {
    for n in 0.. {
        let id = format!("kill-{round}-{n}");
        let body = json!({ "enrollment_token": token, "device_id": id });
        let request = server
            .http
            .post(format!("{}/v1/agent/enroll", server.base))
            .json(&body);
        match answer(request).await {
            Some((201, enrolled)) => {
                let token = enrolled["device_token"].as_str().unwrap().to_owned();
                noted(notes, |round| round.enrolled.push((id, token)));
            }
            None => return noted(notes, |round| round.enrolling = Some(id)),
            other => panic!("{other:?}"),
        }
    }
}

/// Devices of earlier rounds install what they are offered.
async fn report(server: &Server, fleet: &Fleet, round: u64, notes: &Shared) {
    let before = format!("kill-{}-", round.wrapping_sub(1));
    let devices = fleet.known.devices.iter();
    for (id, token) in devices.filter(|(id, token)| id.starts_with(&before) && !token.is_empty()) {
        let poll = format!(
            "{}/v1/agent/update?device_id={id}&package_name={INSTALLED}&current_version_code=1",
            server.base
        );
        let Some((status, manifest)) = answer(server.http.get(poll).bearer_auth(token)).await else {
            return;
        };
        assert_eq!(status, 200, "{manifest}");
        let report = json!({
            "build_id": manifest["build_id"],
            "rollout_id": manifest["rollout_id"],
            "offer": manifest["offer"],
            "attempt": manifest["attempt"],
            "status": "install_success",
            "request_id": format!("report-{id}"),
        });
        let request = server.http.post(format!("{}/v1/agent/report", server.base));
        match answer(request.bearer_auth(token).json(&report)).await {
            Some((200, _)) => noted(notes, |round| round.reports += 1),
            None => return noted(notes, |round| round.report = Some((id.clone(), report))),
            other => panic!("{other:?}"),
        }
    }
}

async fn pause_and_resume(server: &Server, build: i64, notes: &Shared) {
    for verb in ["pause", "resume"].into_iter().cycle() {
        match answer(server.post(&format!("/v1/apk/{build}/{verb}"), &json!({}))).await {
            Some((200, _)) => noted(notes, |round| round.verbs.push(verb)),
            None => return noted(notes, |round| round.verb = Some(verb)),
            other => panic!("{other:?}"),
        }
    }
}

fn order(key: &str) -> Value {
    json!({ "idempotency_key": key, "device_ids": ["nobody-1"] })
}

async fn nudge(server: &Server, round: u64, notes: &Shared) {
    for n in 0.. {
        let key = format!("kill-{round}-{n}");
        match answer(server.post("/v1/apk/nudge-update", &order(&key))).await {
            Some((200, campaign)) => {
                let id = campaign["campaign_id"].as_i64().unwrap();
                noted(notes, |round| round.campaigns.push((key, id)));
            }
            None => return noted(notes, |round| round.campaign = Some(key)),
            other => panic!("{other:?}"),
        }
    }
}

async fn survive(engine: &str, database: Option<Database>) {
    let mut fleet = Fleet::new(database).await;
    let mut last = None;
    for number in 0..rounds() {
        if number > 0 && number.is_multiple_of(TOLD_EVERY) {
            let _ = writeln!(std::io::stderr(), "{engine}: {number} of {} kills", rounds());
        }
        let server = fleet.serve();
        if let Some((round, begun)) = last {
            fleet.check(&server, round, begun).await;
        }
        last = Some(fleet.round(number, server).await);
    }
    let server = fleet.serve();
    if let Some((round, begun)) = last {
        fleet.check(&server, round, begun).await;
    }
    fleet.count(&server).await;
    let known = &fleet.known;
    assert!(known.verbs > 0 && !known.campaigns.is_empty() && !known.devices.is_empty());
    let _ = writeln!(
        std::io::stderr(),
        "{engine}: {} kills; {} enrolments, {} reports, {} pauses and resumes, {} campaigns: none lost, none \
         doubled, the chain whole",
        rounds(),
        known.devices.len(),
        known.installed,
        known.verbs,
        known.campaigns.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_on_sqlite_has_lost_and_doubled_nothing() {
    survive("sqlite", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_on_postgresql_has_lost_and_doubled_nothing() {
    let database = tokio::task::spawn_blocking(|| postgres::database("kill")).await;
    survive("postgresql", Some(database.unwrap())).await;
}
