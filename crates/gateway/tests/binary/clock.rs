//! A server whose time is driven from outside.

use std::time::Duration;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tidegate_simulator::clock::ClockDriver;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::eventually;

use crate::program::{Running, client, exited, out, run, tidegate};

/// Longer than a server takes to come.
const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// What somebody is answered with this token.
struct Caller {
    base: String,
    token: String,
}

impl Caller {
    async fn send(&self, request: reqwest::RequestBuilder) -> reqwest::Response {
        request.bearer_auth(&self.token).send().await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let request = client().get(format!("{}{path}", self.base));
        self.send(request).await.json().await.unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let request = client().post(format!("{}{path}", self.base)).json(body);
        self.send(request).await.json().await.unwrap()
    }
}

/// Starts a server in the folder that follows the clock there, and says this of it before it serves.
fn serve(folder: &std::path::Path, said: &str) -> (Running, String) {
    let mut command = tidegate(folder);
    command
        .args(["serve", "--clock", "clock"])
        .env("TIDEGATE_LISTEN", "127.0.0.1:0");
    let server = Running::start(command);
    server.line(said);
    let line: Value = serde_json::from_str(&server.line("ota.server.start")).unwrap();
    let base = format!("http://{}", line["listen"].as_str().unwrap());
    (server, base)
}

fn admin(folder: &std::path::Path, base: &str) -> Caller {
    let admin = ["--subject", "ann", "--role", "admin", "--ttl", "300d"];
    let output = run(folder, &[&["admin", "token"][..], &admin].concat());
    exited(&output, 0);
    Caller {
        base: base.to_owned(),
        token: out(&output).trim().to_owned(),
    }
}

/// Releases a build and enrols a device.
async fn released(admin: &Caller) -> Caller {
    let form = Form::new().part("file", Part::bytes(apks::build(PACKAGE, 2)).file_name("a.apk"));
    let upload = client()
        .post(format!("{}/v1/apk/upload", admin.base))
        .multipart(form);
    assert!(admin.send(upload).await.status().is_success());
    admin
        .post("/v1/apk/1/promote", &json!({ "rollout_percent": 100 }))
        .await;
    let token = admin
        .post("/v1/enrollment-tokens", &json!({ "uses": 1, "ttl_s": 86_400 }))
        .await;
    let enrolled = json!({ "enrollment_token": token["enrollment_token"], "device_id": "phone" });
    let enrolled = admin.post("/v1/agent/enroll", &enrolled).await;
    Caller {
        base: admin.base.clone(),
        token: enrolled["device_token"].as_str().unwrap().to_owned(),
    }
}

/// The hours in which polls were counted, and how many.
async fn hours(admin: &Caller) -> Vec<(DateTime<Utc>, i64)> {
    let stats = admin.get("/v1/apk/1/deployment-stats?hours=200").await;
    let hours = stats["hours"].as_array().unwrap().iter();
    hours
        .map(|hour| {
            let at = hour["hour"].as_str().unwrap().parse().unwrap();
            (at, hour["checks"].as_i64().unwrap())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_are_counted_in_the_hours_of_the_driver_and_a_killed_server_comes_back_to_them() {
    let folder = tempfile::tempdir().unwrap();
    let (server, base) = serve(folder.path(), "nobody drives the clock yet");
    let driver = ClockDriver::listen(&folder.path().join("clock")).await.unwrap();
    let now = driver.wait_for_server(WAIT_LIMIT).await.unwrap();
    let admin_of = |base: &str| admin(folder.path(), base);
    let mut caller = admin_of(&base);
    let device = released(&caller).await;

    let begin = now.duration_trunc(TimeDelta::days(1)).unwrap() + TimeDelta::days(2);
    let poll =
        format!("/v1/agent/update?device_id=phone&package_name={PACKAGE}&current_version_code=1&sdk=34");
    for hour in 0..3 {
        driver.set(begin + TimeDelta::hours(hour), 0).await;
        for _ in 0..=hour {
            device.get(&poll).await;
        }
    }
    let expected: Vec<_> = (0..3)
        .map(|hour| (begin + TimeDelta::hours(hour), hour + 1))
        .collect();
    eventually(|| hours(&caller), |hours| *hours == expected).await;

    // Killed and started again, it is where the driver is before it answers anybody.
    drop(server);
    let (server, base) = serve(folder.path(), "the clock is driven");
    caller = admin_of(&base);
    let device = Caller { base, ..device };
    device.get(&poll).await;
    let expected = [&expected[..2], &[(begin + TimeDelta::hours(2), 4)]].concat();
    eventually(|| hours(&caller), |hours| *hours == expected).await;

    // An hour is a second, and goes on when the driver is gone.
    driver.set_rate(3_600).await;
    drop(driver);
    server.line("the clock's driver is gone");
    tokio::time::sleep(Duration::from_secs(2)).await;
    device.get(&poll).await;
    let last = || async { hours(&caller).await.last().copied() };
    let later = |last: &Option<(DateTime<Utc>, i64)>| {
        last.is_some_and(|(hour, checks)| hour >= begin + TimeDelta::hours(4) && checks == 1)
    };
    eventually(last, later).await;
}
