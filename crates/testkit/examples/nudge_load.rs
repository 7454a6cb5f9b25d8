//! A campaign for a large fleet, with the finished binary and a stand-in for FCM: how fast it goes, what it costs,
//! and whether the books are right when servers are killed on the way. `just nudge-load` runs it. The exit status is 1
//! when a promise is not kept.
//!
//! Arguments: the program `tidegate`, the program `seed_devices`, `sqlite` or `postgres`, how many devices, how
//! often a server is killed with SIGKILL on the way, and how many of a hundred tokens are dead.

#![allow(clippy::disallowed_methods, reason = "it measures real time")]
#![expect(clippy::print_stdout, reason = "it is a report")]

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate_domain::Role;
use tidegate_fcm::stand_in::{Answer, StandIn};
use tidegate_signing::{ExposeSecret, KeyRing, MasterKey};
use tidegate_testkit::postgres;

type Fault = Box<dyn std::error::Error>;

/// How long FCM takes for each message.
const LATENCY: Duration = Duration::from_millis(50);

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Messages a second that an undisturbed campaign has to reach.
const TARGET: f64 = 5000.0;

/// What a server may grow by between the first half of a campaign and the second, in MiB.
const GROWTH: u64 = 16;

/// One dead token in this many opens the circuit breaker, and this many messages may be on their way meanwhile.
const CIRCUIT_BREAKER: (u64, u64) = (100, 1000);

struct Plan {
    program: PathBuf,
    seeder: PathBuf,
    is_postgres: bool,
    devices: u64,
    kills: u64,
    dead_percent: u64,
}

impl Plan {
    fn read() -> Result<Self, Fault> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let [program, seeder, engine, devices, kills, dead] = &arguments[..] else {
            return Err(
                "usage: nudge_load TIDEGATE SEED_DEVICES sqlite|postgres DEVICES KILLS DEAD_PERCENT".into(),
            );
        };
        Ok(Self {
            program: program.into(),
            seeder: seeder.into(),
            is_postgres: engine == "postgres",
            devices: devices.parse()?,
            kills: kills.parse()?,
            dead_percent: dead.parse()?,
        })
    }
}

/// A server of its own process; killed when it is dropped.
struct Server {
    child: Child,
    command: Command,
    address: String,
}

impl Server {
    fn start(mut command: Command, address: String) -> Result<Self, Fault> {
        let child = command.spawn()?;
        Ok(Self {
            child,
            command,
            address,
        })
    }

    fn kill_and_start_again(&mut self) -> Result<(), Fault> {
        self.child.kill()?;
        self.child.wait()?;
        self.child = self.command.spawn()?;
        Ok(())
    }

    /// Of memory, in MiB: what is used now.
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        kilobytes.unwrap_or(0) / 1024
    }

    fn cpu_seconds(&self) -> f64 {
        cpu_seconds(&self.child.id().to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Of a process, in user and system mode (proc_pid_stat(5): the 14th and the 15th field, in hundredths).
fn cpu_seconds(process: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: Vec<f64> = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse().ok())
        .collect();
    ticks.iter().sum::<f64>() / 100.0
}

/// The database, the fleet in it, and the servers over it.
struct Scene {
    servers: Vec<Server>,
    token: String,
    http: reqwest::Client,
    _database: Option<postgres::Database>,
    _folder: TempDir,
}

impl Scene {
    async fn set(plan: &Plan, fcm: &StandIn) -> Result<Self, Fault> {
        let folder = tempfile::tempdir()?;
        let database = plan.is_postgres.then(|| postgres::database("nudges"));
        let url = match &database {
            Some(database) => database.url(),
            None => format!("sqlite://{}", folder.path().join("tidegate.db").display()),
        };
        let seeded = Command::new(&plan.seeder)
            .arg(&url)
            .arg(plan.devices.to_string())
            .status()?;
        if !seeded.success() {
            return Err("the fleet could not be seeded".into());
        }
        let account = folder.path().join("service-account.json");
        fs::write(&account, fcm.service_account())?;
        let master = MasterKey::generate()?;
        let mut servers = Vec::new();
        for number in 0..if plan.is_postgres { 2 } else { 1 } {
            let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
            let mut command = Command::new(&plan.program);
            command
                .arg("serve")
                .env(
                    "TIDEGATE_DATA_DIR",
                    folder.path().join(format!("server-{number}")),
                )
                .env("TIDEGATE_DATABASE_URL", &url)
                .env("TIDEGATE_LISTEN", &address)
                .env("TIDEGATE_MASTER_KEY", master.to_text().expose_secret())
                .env("TIDEGATE_FCM_SERVICE_ACCOUNT", &account)
                .env("TIDEGATE_FCM_ENDPOINT", fcm.endpoint())
                .env("TIDEGATE_FCM_RAMP", "0s")
                .env("TIDEGATE_FCM_LEASE", "50s")
                .env("TIDEGATE_LOG", "warn")
                .stdout(Stdio::null());
            servers.push(Server::start(command, address)?);
        }
        let keys = KeyRing::new(&master, None);
        let token = keys.admin_token("load", Role::Operator, TimeDelta::hours(2), Utc::now())?;
        Ok(Self {
            servers,
            token: token.expose_secret().to_owned(),
            http: reqwest::Client::builder().no_proxy().build()?,
            _database: database,
            _folder: folder,
        })
    }

    /// Asks whichever server answers first.
    async fn ask(&self, method: reqwest::Method, path: &str) -> Value {
        loop {
            for server in &self.servers {
                let url = format!("http://{}{path}", server.address);
                let mut request = self.http.request(method.clone(), url).bearer_auth(&self.token);
                if method == reqwest::Method::POST {
                    request = request.json(&json!({}));
                }
                if let Ok(answer) = request.send().await
                    && answer.status().is_success()
                    && let Ok(value) = answer.json().await
                {
                    return value;
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn memory(&self) -> Vec<u64> {
        self.servers.iter().map(Server::memory).collect()
    }
}

#[tokio::main]
async fn main() -> Result<(), Fault> {
    tidegate_gateway::choose_cryptography();
    let plan = Plan::read()?;
    let fcm = StandIn::start().await?;
    fcm.set_latency(LATENCY);
    for number in 0..plan.devices {
        if number % 100 < plan.dead_percent {
            fcm.answer_token(&format!("token-{number:06}"), [Answer::Unregistered]);
        }
    }
    let mut scene = Scene::set(&plan, &fcm).await?;
    scene.ask(reqwest::Method::GET, "/v1/nudges").await;
    println!(
        "{} servers, {} devices; memory {:?} MiB",
        scene.servers.len(),
        plan.devices,
        scene.memory()
    );
    let begun = Instant::now();
    let nudged = scene.ask(reqwest::Method::POST, "/v1/apk/nudge-update").await;
    println!("written down after {:.2} s", begun.elapsed().as_secs_f64());
    let id = nudged["campaign_id"].as_i64().ok_or("no campaign")?;
    let course = watch(&plan, &fcm, &mut scene, id).await?;
    report(&fcm, &scene, &course);
    let broken: Vec<_> = promises(&plan, &fcm, &course)
        .into_iter()
        .filter(|(promise, is_kept)| {
            println!("{}: {promise}", if *is_kept { "yes" } else { "NO" });
            !is_kept
        })
        .collect();
    if broken.is_empty() {
        return Ok(());
    }
    Err(format!("{} promises are not kept", broken.len()).into())
}

/// How a campaign went.
struct Course {
    /// As it stands at the end.
    campaign: Value,
    /// Messages a second, without its beginning and its end.
    rate: f64,
    /// The servers' memory in MiB with each second's number of messages.
    memory: Vec<(u64, Vec<u64>)>,
}

/// Follows the campaign to its end, killing servers on the way.
async fn watch(plan: &Plan, fcm: &StandIn, scene: &mut Scene, id: i64) -> Result<Course, Fault> {
    let path = format!("/v1/nudges/{id}");
    let begun = Instant::now();
    let (mut killed, mut second, mut before) = (0, 0, 0);
    let (mut marks, mut memory) = (Vec::new(), Vec::new());
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let taken = fcm.counts().requests;
        marks.push((begun.elapsed(), taken));
        if killed < plan.kills && taken >= plan.devices * (killed + 1) / (plan.kills + 1) {
            let victim = usize::try_from(killed)? % scene.servers.len();
            scene.servers[victim].kill_and_start_again()?;
            killed += 1;
            println!("killed server {victim} after {taken} messages");
        }
        if begun.elapsed().as_secs() > second {
            second = begun.elapsed().as_secs();
            let now = scene.memory();
            println!(
                "{second:3} s: {taken} messages ({} in the last), memory {now:?} MiB",
                taken - before
            );
            memory.push((taken, now));
            before = taken;
            let campaign = scene.ask(reqwest::Method::GET, &path).await;
            if campaign["state"] != "running" {
                let rate = middle(&marks, plan.devices);
                println!("middle eighty percent: {rate:.0} messages a second");
                return Ok(Course {
                    campaign,
                    rate,
                    memory,
                });
            }
        }
    }
}

/// Messages a second between a tenth and nine tenths of the fleet.
fn middle(marks: &[(Duration, u64)], devices: u64) -> f64 {
    let at = |share: u64| marks.iter().find(|(_, taken)| *taken >= devices * share / 10);
    let (Some((begin, first)), Some((end, last))) = (at(1), at(9)) else {
        return 0.0;
    };
    let messages = u32::try_from(last - first).unwrap_or(u32::MAX);
    f64::from(messages) / (*end - *begin).as_secs_f64().max(0.001)
}

fn report(fcm: &StandIn, scene: &Scene, Course { campaign, .. }: &Course) {
    println!("state {}, suspended {}", campaign["state"], campaign["held"]);
    println!("books: {}", campaign["progress"]);
    println!(
        "devices by messages that they got: {:?}",
        fcm.tokens_by_messages()
    );
    println!("FCM counted: {:?}", fcm.counts());
    let servers: Vec<f64> = scene.servers.iter().map(Server::cpu_seconds).collect();
    println!(
        "CPU seconds: servers {servers:?} (since their last start), stand-in {:.1}",
        cpu_seconds("self")
    );
}

/// What must be true at the end of such a run.
fn promises(plan: &Plan, fcm: &StandIn, course: &Course) -> Vec<(&'static str, bool)> {
    let campaign = &course.campaign;
    let count = |kind: &str| campaign["progress"][kind].as_u64().unwrap_or(0);
    let total: u64 = ["queued", "sent", "failed", "canceled"].map(count).iter().sum();
    let tally = fcm.tokens_by_messages();
    let reached: u64 = tally.values().sum();
    let mut promises = vec![
        ("the books have every device once", total == plan.devices),
        ("what is booked as sent has arrived", count("sent") == reached),
        (
            "nobody was sent the command more than twice",
            tally.keys().all(|times| *times <= 2),
        ),
    ];
    if plan.dead_percent > 0 {
        let (one_in, under_way) = CIRCUIT_BREAKER;
        let most = plan.devices / one_in + under_way;
        promises.push(("the campaign is suspended", campaign["state"] == "paused"));
        promises.push(("the circuit breaker opened in time", count("failed") <= most));
        return promises;
    }
    promises.push(("every device has the command", count("sent") == plan.devices));
    if plan.kills == 0 {
        promises.push(("5,000 messages a second", course.rate >= TARGET));
        promises.push(("the servers' memory does not grow", is_flat(plan, &course.memory)));
    }
    promises
}

/// Whether no server's largest memory in the second half is far above that in the first, the very first tenth aside.
fn is_flat(plan: &Plan, memory: &[(u64, Vec<u64>)]) -> bool {
    let largest = |server: usize, tenths: std::ops::Range<u64>| {
        let of = |share: u64| plan.devices * share / 10;
        let within = memory
            .iter()
            .filter(|(taken, _)| (of(tenths.start)..of(tenths.end)).contains(taken));
        within.map(|(_, now)| now[server]).max()
    };
    let servers = memory.first().map_or(0, |(_, now)| now.len());
    (0..servers).all(|server| {
        let (first, second) = (largest(server, 1..5), largest(server, 5..11));
        first
            .zip(second)
            .is_some_and(|(first, second)| second <= first + GROWTH)
    })
}
