//! A poll of a crowded server against a poll of an empty one, in turn, in one run: what many rollouts, packages, devices and
//! tags cost a poll. Both give the same answer to the same device.
//!
//! `CROWDED_DEVICES` and `CROWDED_TAGGED` are how many devices the crowded server knows and how many of them have tags; a
//! million and a hundred thousand where they are left out. Quote the ratios.
#![allow(clippy::print_stdout, reason = "the figures are what this program is for")]

#[allow(dead_code, reason = "each benchmark needs its own part of it")]
mod load;

use std::fmt::Write as _;
use std::net::SocketAddr;

use load::rate;
use serde_json::json;
use tidegate_domain::Role;
use tidegate_testkit::apks;
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer, eventually};

const PACKAGE: &str = "com.example.poll";
const ROUNDS: usize = 9;
/// The polled package's rollouts above its base.
const ABOVE: usize = 50;
/// Other packages, with as many rollouts each. Each change of one has the whole catalog read again, so that a thousand of
/// them would take the night.
const OTHER_PACKAGES: usize = 20;
/// How many ids one call may name.
const TAGGED_AT_ONCE: usize = 100_000;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    tracing_subscriber::fmt().json().with_writer(std::io::sink).init();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run());
}

fn number(name: &str, default: usize) -> usize {
    let given = std::env::var(name).ok();
    given.map_or(default, |text| text.parse().expect("a number"))
}

async fn run() {
    let (devices, tagged) = (
        number("CROWDED_DEVICES", 1_000_000),
        number("CROWDED_TAGGED", 100_000),
    );
    let empty = TestServer::start(Engine::Sqlite).await;
    let crowded = TestServer::start(Engine::Sqlite).await;
    crowd(&crowded, devices, tagged).await;
    for (server, above) in [(&empty, 1), (&crowded, ABOVE)] {
        let operator = server.operator(Role::Admin);
        release(&operator, PACKAGE, above).await;
    }
    println!(
        "crowded: {ABOVE} rollouts above the base, {OTHER_PACKAGES} other packages with as many, {devices} devices, {tagged} \
         of them with tags"
    );
    // Nobody's tag: all rollouts are asked, and the base answers.
    for (name, installed) in [("304", 2), ("200", 1)] {
        compare(name, &empty, &crowded, installed).await;
    }
}

/// A base to everybody, and rollouts above it to rings that the polled device is in none of.
async fn release(operator: &Operator, package: &str, above: usize) {
    let build = operator.uploaded(&apks::build(package, 2)).await;
    operator.promote(build, 100).await.ok();
    for ring in 1..=above {
        let rollout = json!({
            "build_id": build, "priority": ring, "rollout_percent": 100, "name": format!("ring {ring}"),
            "audience": format!(r#"region in ["eu-north", "eu-west"] && sdk >= 30 && "ring-{ring}" in tags"#),
        });
        assert_eq!(operator.post("/v1/rollouts", &rollout).await.status, 201);
    }
}

async fn crowd(server: &TestServer, devices: usize, tagged: usize) {
    let operator = server.operator(Role::Admin);
    for package in 0..OTHER_PACKAGES {
        release(&operator, &format!("com.example.other{package}"), ABOVE).await;
    }
    let ids: Vec<String> = (0..devices).map(|n| format!("crowd-{n:09}")).collect();
    for ids in ids.chunks(250_000) {
        let mut lines = String::with_capacity(ids.len() * 32);
        for id in ids {
            writeln!(lines, r#"{{"device_id":"{id}"}}"#).expect("memory");
        }
        server.import_devices(&lines).await;
    }
    for (ring, ids) in ids[..tagged.min(devices)].chunks(TAGGED_AT_ONCE).enumerate() {
        let path = format!("/v1/tags/ring-{}/devices", 1_000 + ring);
        operator.post(&path, &json!({ "add": ids })).await.ok();
    }
}

async fn compare(name: &str, empty: &TestServer, crowded: &TestServer, installed: i64) {
    let id = format!("polled-{name}");
    let mut asked = vec![];
    for server in [empty, crowded] {
        let device = server.device(&id).await;
        let add = json!({ "add": [id] });
        server
            .operator(Role::Admin)
            .post("/v1/tags/shop/devices", &add)
            .await
            .ok();
        let said = "&sdk=34&region=eu-north";
        eventually(
            || device.poll_as(PACKAGE, installed, said),
            |polled| polled.build().is_some() == (installed == 1),
        )
        .await;
        let request = format!(
            "GET /v1/agent/update?device_id={id}&current_version_code={installed}&package_name={PACKAGE}{said} HTTP/1.1\r\n\
             Host: tidegate\r\nAuthorization: Bearer {}\r\n\r\n",
            device.token
        );
        let address: SocketAddr = server
            .url("")
            .trim_start_matches("http://")
            .parse()
            .expect("an address");
        asked.push((address, request));
    }
    let mut ratios = Vec::new();
    let (mut of_empty, mut of_crowded) = (0.0_f64, 0.0_f64);
    for _ in 0..ROUNDS {
        let alone = rate(asked[0].0, &asked[0].1).await;
        let among = rate(asked[1].0, &asked[1].1).await;
        (of_empty, of_crowded) = (of_empty.max(alone), of_crowded.max(among));
        ratios.push(alone / among);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "poll {name}: empty {of_empty:.0}/s, crowded {of_crowded:.0}/s; a poll of the crowded one costs {:.3} of the other's, \
         median (min {:.3}, max {:.3})",
        ratios[ratios.len() / 2],
        ratios[0],
        ratios[ratios.len() - 1],
    );
}
