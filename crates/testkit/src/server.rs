//! The real server in process, with everything of its own: folder, database, keys, port and clock.
//!
//! It runs on a runtime of its own, which is what makes [`TestServer::crash`] honest: every task ends where it
//! happens to stand, and nothing gets to tidy up, as when a machine loses its power.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use reqwest::Client;
use serde_json::json;
use tempfile::TempDir;
use tidegate_domain::gate::GateFacts;
use tidegate_domain::{Role, RolloutId};
pub use tidegate_gateway::choose_cryptography;
use tidegate_gateway::{Config, RunningServer, Server};
use tidegate_service::{Actor, Clock, ImportReport, Imports};
use tidegate_signing::{ExposeSecret, KeyRing, MasterKey, SecretString};
use tidegate_storage::{GateLook, Store};
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};

use crate::agent::Agent;
use crate::answer::Answer;
use crate::clock::ManualClock;
use crate::operator::Operator;
use crate::postgres::{self, Database};

/// Threads of a server's runtime.
const WORKERS: usize = 2;

/// Connections to PostgreSQL that a server keeps: many servers share one small cluster.
const POOL_SIZE: u32 = 4;

/// How long [`eventually`] waits. Far longer than anything takes, so that a busy machine fails no test.
const WAIT_LIMIT: Duration = Duration::from_secs(30);

/// Where a server keeps its tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A file in the server's folder.
    Sqlite,
    /// A database of its own in the process's cluster.
    Postgres,
}

/// A server that answers on loopback.
#[derive(Debug)]
pub struct TestServer {
    config: Config,
    clock: Arc<ManualClock>,
    keys: Arc<KeyRing>,
    running: Option<Running>,
    http: Client,
    // Dropped last, and in this order: what the server stands on.
    _database: Option<Database>,
    folder: TempDir,
}

struct Running {
    server: Option<RunningServer>,
    runtime: Option<Runtime>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Running")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.server.take());
        // Waiting for it is forbidden in the test's own runtime, and nobody needs what is still under way.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl TestServer {
    /// A new server.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(engine: Engine) -> Self {
        Self::start_with(engine, |_| {}).await
    }

    /// A new server with other settings than the usual ones.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_with(engine: Engine, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_at(engine, ManualClock::default(), change).await
    }

    /// A server that begins at a time of its own, perhaps on data that `change` put into the folder and the database
    /// that the settings name.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_at(engine: Engine, clock: ManualClock, change: impl FnOnce(&mut Config)) -> Self {
        choose_cryptography();
        let folder = tempfile::tempdir().expect("no temporary folder");
        let mut config = Config::in_folder(folder.path());
        config.listen = ([127, 0, 0, 1], 0).into();
        config.master_key = Some(MasterKey::generate().expect("no randomness"));
        let database = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => {
                // Starting the cluster takes seconds, once; other tests need not wait for it.
                let database = tokio::task::spawn_blocking(|| postgres::database("server")).await;
                Some(database.expect("no database"))
            }
        };
        if let Some(database) = &database {
            config.database.url = database.url();
            config.database.pool_size = POOL_SIZE;
        }
        change(&mut config);
        let master = config.master_key.as_ref().expect("the key was taken away");
        let keys = Arc::new(KeyRing::new(master, None));
        let mut server = Self {
            config,
            clock: Arc::new(clock),
            keys,
            running: None,
            http: client(),
            _database: database,
            folder,
        };
        server.start_again().await;
        server
    }

    /// A second server over the same database, artifacts, keys and clock.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn replica(&self) -> Self {
        let folder = tempfile::tempdir().expect("no temporary folder");
        let mut config = self.config.clone();
        config.data_dir = folder.path().to_owned();
        config.listen.set_port(0);
        config.public_url = None;
        let mut server = Self {
            config,
            clock: Arc::clone(&self.clock),
            keys: Arc::clone(&self.keys),
            running: None,
            http: client(),
            _database: None,
            folder,
        };
        server.start_again().await;
        server
    }

    /// Starts a server that was stopped, on what it left and on the same port.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_again(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .enable_all()
            .build()
            .expect("no runtime");
        let (config, clock) = (self.config.clone(), Arc::clone(&self.clock));
        let started = runtime.spawn(async move { Server::start_at(&config, clock as Arc<dyn Clock>).await });
        let server = match started.await.expect("the start panicked") {
            Ok(server) => server,
            Err(error) => panic!("the server does not start: {error}"),
        };
        // The port stays the server's own from now on, so that its address outlives a restart.
        self.config.listen = server.addr();
        self.config.admin_listen = self.config.admin_listen.map(|_| server.admin_addr());
        self.running = Some(Running {
            server: Some(server),
            runtime: Some(runtime),
        });
    }

    /// Asks the server to end, and waits until it has.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn stop(&mut self) {
        // What its connections led to will be gone.
        self.http = client();
        let mut running = self.running.take().expect("the server does not run");
        let (server, runtime) = (running.server.take(), running.runtime.take());
        let (Some(server), Some(runtime)) = (server, runtime) else {
            return;
        };
        runtime
            .spawn(server.shutdown())
            .await
            .expect("the shutdown panicked");
        runtime.shutdown_background();
    }

    /// Ends the server in the middle of whatever it does.
    ///
    /// # Panics
    /// When it does not run.
    pub fn crash(&mut self) {
        self.http = client();
        let mut running = self.running.take().expect("the server does not run");
        // The runtime first: a server that is dropped before would be told to end in an orderly manner.
        if let Some(runtime) = running.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// The address of everything, or of what devices call when people have a port of their own.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.config.listen)
    }

    /// The address of what people call.
    pub fn admin_url(&self, path: &str) -> String {
        format!(
            "http://{}{path}",
            self.config.admin_listen.unwrap_or(self.config.listen)
        )
    }

    /// The server's clock.
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// The server's clock, for a task that moves it.
    pub fn shared_clock(&self) -> Arc<ManualClock> {
        Arc::clone(&self.clock)
    }

    /// The keys, for making what only the server should be able to make.
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// A client without any credential.
    pub fn http(&self) -> &Client {
        &self.http
    }

    /// What the server was started with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The names of the files in a folder of the server's own, at any depth; empty when it is not there.
    pub fn files_in(&self, folder: &str) -> Vec<String> {
        let mut names = vec![];
        let mut folders = vec![self.folder.path().join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                } else {
                    names.push(entry.file_name().to_string_lossy().into_owned());
                }
            }
        }
        names
    }

    /// Somebody with a role, named after it.
    pub fn operator(&self, role: Role) -> Operator {
        self.person(role.as_str(), role)
    }

    /// Somebody with a name and a role.
    ///
    /// # Panics
    /// For a name that no token can carry.
    pub fn person(&self, name: &str, role: Role) -> Operator {
        let token = self
            .keys
            .admin_token(name, role, TimeDelta::hours(12), self.clock.now())
            .expect("no token");
        Operator {
            http: self.http.clone(),
            base: self.admin_url(""),
            token: token.expose_secret().to_owned(),
        }
    }

    /// Adds a person with a password, as `tidegate admin user add` does.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn add_user(&self, name: &str, role: Role, password: &str) {
        let server = self.running.as_ref().and_then(|running| running.server.as_ref());
        let users = &server.expect("the server does not run").api().users;
        let password = SecretString::from(password.to_owned());
        let added = users.add(&Actor::console(), name, role, password).await;
        added.expect("the person was refused");
    }

    /// Imports devices, a JSON object in each line, as `tidegate import devices` does.
    ///
    /// # Panics
    /// When the database does not take them, or a line is refused.
    pub async fn import_devices(&self, lines: &str) -> ImportReport {
        let store = Store::open(&self.config().database).await;
        let store = store.expect("the database opens");
        let opened = tidegate_service::open_record(&store, &self.keys, self.clock.now()).await;
        opened.expect("the record opens");
        let imports = Imports::new(store, self.shared_clock());
        let refused = |line: u64, fault: &str| panic!("line {line}: {fault}");
        let console = Actor::console();
        let report = imports.devices(&console, lines.as_bytes(), false, refused);
        report.await.expect("the import was refused")
    }

    /// Has the gate of a rollout have found this by its last look, now.
    ///
    /// # Panics
    /// When the database does not take it.
    pub async fn keep_gate_look(&self, rollout: i64, facts: GateFacts) {
        let store = Store::open(&self.config().database).await;
        let look = GateLook {
            at: self.clock.now(),
            facts,
        };
        let store = store.expect("the database opens");
        let kept = store.keep_gate_look(RolloutId(rollout), look).await;
        kept.expect("the look was refused");
    }

    /// A device, enrolled with a token made for it.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn device(&self, id: &str) -> Agent {
        let token = self.operator(Role::Admin).enroll_token(1).await;
        self.enroll(&token, id).await
    }

    /// A device, enrolled with this token.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn enroll(&self, enrollment_token: &str, id: &str) -> Agent {
        let request = json!({ "enrollment_token": enrollment_token, "device_id": id });
        self.enroll_as(&request)
            .await
            .unwrap_or_else(|refusal| panic!("{id} was refused: {refusal:?}"))
    }

    /// A device, enrolled with these words; or the refusal.
    ///
    /// # Errors
    /// Any other answer than 201.
    pub async fn enroll_as(&self, request: &serde_json::Value) -> Result<Agent, Answer> {
        let answer = Answer::to(self.http.post(self.url("/v1/agent/enroll")).json(request)).await;
        if answer.status != 201 {
            return Err(answer);
        }
        let enrollment = answer.json();
        let text = |field: &str| enrollment[field].as_str().unwrap_or_default().to_owned();
        Ok(Agent {
            http: self.http.clone(),
            base: self.url(""),
            id: text("device_id"),
            token: text("device_token"),
            enrollment,
        })
    }

    /// A gRPC connection to what people call.
    ///
    /// # Panics
    /// When there is none.
    pub async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(self.admin_url("")).expect("an address");
        endpoint.connect().await.expect("no gRPC connection")
    }
}

fn client() -> Client {
    Client::builder()
        // A test must not leave the machine, whatever the environment says of proxies.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("no HTTP client")
}

/// Asks again and again until the answer is the one that is waited for.
///
/// # Panics
/// When it never is, with the last answer.
pub async fn eventually<T, F>(mut ask: impl FnMut() -> F, is_it: impl Fn(&T) -> bool) -> T
where
    T: std::fmt::Debug,
    F: Future<Output = T>,
{
    let begun = Instant::now();
    loop {
        let answer = ask().await;
        if is_it(&answer) {
            return answer;
        }
        assert!(
            begun.elapsed() < WAIT_LIMIT,
            "it never came to be; the last answer is {answer:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
