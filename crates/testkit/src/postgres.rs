//! A throwaway PostgreSQL, started from the binaries that the machine has.
//!
//! [`database`] hands each test a database of its own in one cluster that all tests of the process share. The
//! cluster lives in a temporary folder, listens on a free loopback port with a random password, and trades
//! durability for speed (`fsync=off`): it protects nothing, it only has to answer like the real thing.
//!
//! **Why a watchdog.** A static is never dropped in Rust, and a test process may end by a panic, by `exit` or
//! by SIGKILL. So a small shell, started before anything else, sits on the reading end of a pipe that this
//! process holds open: when the process is gone, however it went, the kernel closes the pipe, and the shell
//! stops the server and removes the folder.
//!
//! **Why not a crate.** Those that exist download a server or want sudo. Every distribution has `initdb`.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Names the folder that holds `initdb`, `postgres` and `psql`, where the usual places don't.
pub const BIN_VARIABLE: &str = "TESTKIT_PG_BIN";

/// The owner of the cluster and of every database in it.
const SUPERUSER: &str = "tidegate";
/// Enough for a few dozen parallel tests with a pool each.
const MAX_CONNECTIONS: u16 = 400;
/// A busy machine with two cores starts a cluster in two seconds; this is for a very bad day.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Between asking for a free port and listening on it somebody else may take it.
const PORT_ATTEMPTS: u32 = 5;
/// PostgreSQL cuts names at 63 bytes; a counter and the separators need the rest.
const HINT_LIMIT: usize = 40;

/// Reads the ids of the processes that it has to end, one a line, until the pipe closes.
///
/// SIGQUIT is PostgreSQL's immediate shutdown. The wait is bounded because a container without an init never
/// reaps the process, and a zombie still answers `kill -0`.
const WATCHDOG: &str = r#"
folder=$1; process=
while read -r line; do process=$line; done
if [ -n "$process" ] && kill -QUIT "$process" 2>/dev/null; then
  for _ in $(seq 100); do kill -0 "$process" 2>/dev/null || break; sleep 0.05; done
fi
rm -rf "$folder" || { sleep 1; rm -rf "$folder"; }
"#;

/// An empty database in the process's shared cluster; the hint shows up in its name, to tell them apart in a
/// server log.
///
/// # Panics
/// When no PostgreSQL is installed (the message says how to get it) or when it does not start (the message
/// carries its log).
pub fn database(hint: &str) -> Database {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(Cluster::start).database(hint)
}

/// Runs a file of SQL, such as `pg_dump` writes, in the database at this URL.
///
/// # Panics
/// When the URL names no user and password, or a statement is refused, with the server's words.
pub fn load(url: &str, file: &Path) {
    let (people, place) = url.split_once('@').expect("a URL with a password");
    let (user, password) = people.rsplit_once(':').expect("a URL with a password");
    let mut psql = Command::new(Binaries::find().tool("psql"));
    plain_environment(&mut psql);
    psql.args([
        "--no-psqlrc",
        "--no-password",
        "--quiet",
        "--set",
        "ON_ERROR_STOP=1",
    ])
    .args(["--dbname", &format!("{user}@{place}")])
    .arg("--file")
    .arg(file)
    .env("PGPASSWORD", password);
    let output = psql
        .output()
        .unwrap_or_else(|fault| panic!("can't run psql: {fault}"));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {words}", file.display());
}

/// One database, dropped with this value, whoever is still connected to it.
#[derive(Debug)]
pub struct Database {
    name: String,
    door: Door,
}

impl Database {
    /// `postgres://user:password@127.0.0.1:port/name`
    pub fn url(&self) -> String {
        self.door.url(&self.name)
    }

    /// The name alone.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The cluster may be gone already, and a second panic would abort the test run: failure is fine here.
        drop(self.door.ask(
            "postgres",
            &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name),
        ));
    }
}

/// A PostgreSQL server of one's own, for a test that wants to take it away; most tests want [`database`].
///
/// Dropping it stops the server and removes its folder.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    door: Door,
    server: Child,
    watchdog: Watchdog,
    databases: AtomicU32,
}

impl Cluster {
    /// Creates and starts a cluster and waits until it answers.
    ///
    /// # Panics
    /// As [`database`].
    pub fn start() -> Cluster {
        Self::start_with(None)
    }

    /// As [`Cluster::start`], with TLS and for nobody without.
    ///
    /// # Panics
    /// As [`database`].
    pub fn start_with_tls(tls: &Tls) -> Cluster {
        Self::start_with(Some(tls))
    }

    fn start_with(tls: Option<&Tls>) -> Cluster {
        let binaries = Binaries::find();
        let folder = tempfile::Builder::new()
            .prefix("tidegate-pg-")
            .tempdir()
            .expect("no temporary folder for PostgreSQL")
            .keep();
        let runner = Runner::own(&folder);
        let mut watchdog = Watchdog::start(&runner, &folder);
        let password = random_hex();
        init(&binaries, &runner, &folder, &password, &mut watchdog);
        if let Some(tls) = tls {
            tls.install(&runner, &folder.join("data"));
        }
        for _ in 0..PORT_ATTEMPTS {
            let door = Door {
                psql: binaries.tool("psql"),
                port: free_port(),
                password: password.clone(),
            };
            let mut server = serve(&binaries, &runner, &folder, door.port);
            watchdog.watch(&server);
            if door.opens(&mut server, &folder) {
                return Cluster {
                    folder,
                    door,
                    server,
                    watchdog,
                    databases: AtomicU32::new(0),
                };
            }
        }
        panic!("PostgreSQL does not start:\n{}", log(&folder));
    }

    /// An empty database in this cluster.
    ///
    /// # Panics
    /// When the server refuses, with its words.
    pub fn database(&self, hint: &str) -> Database {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let hint: String = hint
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() {
                    c.to_ascii_lowercase()
                } else {
                    '_'
                }
            })
            .take(HINT_LIMIT)
            .collect();
        let name = format!("t{number}_{hint}");
        // template0 because nobody can be connected to it, which would make the copy fail.
        let output = self
            .door
            .ask("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0"));
        assert!(
            output.status.success(),
            "CREATE DATABASE {name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Database {
            name,
            door: self.door.clone(),
        }
    }

    /// Where the cluster keeps its files and its log.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.watchdog.release();
        // Reaped here: the watchdog is waiting for it to disappear.
        drop(self.server.wait());
        self.watchdog.wait();
    }
}

/// What a server shows to those who ask for TLS, as PEM.
#[derive(Debug)]
pub struct Tls {
    /// Its certificate.
    pub certificate: String,
    /// The certificate's private key.
    pub key: String,
}

impl Tls {
    /// Puts it into the folder of the cluster's data.
    fn install(&self, runner: &Runner, data: &Path) {
        let files = [
            ("server.crt", self.certificate.as_str()),
            ("server.key", &self.key),
        ];
        let people = [("pg_hba.conf", "hostssl all all 127.0.0.1/32 scram-sha-256\n")];
        for (name, text) in files.into_iter().chain(people) {
            let path = data.join(name);
            fs::write(&path, text).expect("can't write into the cluster's folder");
            // The server refuses a key that others may read.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("the file's mode");
            if let Some((uid, gid)) = runner.drop_to {
                chown(&path, Some(uid), Some(gid)).expect("can't give the file to PostgreSQL's user");
            }
        }
        let settings = data.join("postgresql.conf");
        let mut settings = File::options()
            .append(true)
            .open(settings)
            .expect("the cluster's settings");
        settings
            .write_all(b"\nssl = on\n")
            .expect("the cluster's settings");
    }
}

/// How one gets in: the address, the password, and the tool that knocks.
#[derive(Clone)]
struct Door {
    psql: PathBuf,
    port: u16,
    password: String,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "127.0.0.1:{}", self.port)
    }
}

impl Door {
    fn url(&self, database: &str) -> String {
        format!(
            "postgres://{SUPERUSER}:{}@127.0.0.1:{}/{database}",
            self.password, self.port
        )
    }

    fn ask(&self, database: &str, sql: &str) -> Output {
        let mut psql = Command::new(&self.psql);
        plain_environment(&mut psql);
        psql.args([
            "--no-psqlrc",
            "--no-password",
            "--quiet",
            "--tuples-only",
            "--no-align",
        ])
        .args([
            "--set",
            "ON_ERROR_STOP=1",
            "--host",
            "127.0.0.1",
            "--port",
            &self.port.to_string(),
        ])
        .args(["--username", SUPERUSER, "--dbname", database, "--command", sql])
        // In the environment and not in the URL: arguments show up in every process list.
        .env("PGPASSWORD", &self.password)
        .env("PGCONNECT_TIMEOUT", "10");
        psql.output()
            .unwrap_or_else(|e| panic!("can't run {}: {e}", self.psql.display()))
    }

    /// Whether the server came up. `false`: it ended by itself because the port was taken.
    fn opens(&self, server: &mut Child, folder: &Path) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < START_LIMIT {
            if server
                .try_wait()
                .expect("can't ask for the server's state")
                .is_some()
            {
                let log = log(folder);
                assert!(log.contains("in use"), "PostgreSQL ended by itself:\n{log}");
                return false;
            }
            if self.ask("postgres", "SELECT 1").status.success() {
                return true;
            }
            sleep(Duration::from_millis(20));
        }
        panic!(
            "PostgreSQL does not answer after {START_LIMIT:?}:\n{}",
            log(folder)
        );
    }
}

/// Who runs the server: ourselves, or a lesser user, because PostgreSQL refuses to run as root.
#[derive(Debug)]
struct Runner {
    drop_to: Option<(u32, u32)>,
}

impl Runner {
    /// Finds out and makes the folder theirs.
    fn own(folder: &Path) -> Runner {
        let drop_to = lesser_user(folder);
        if let Some((uid, gid)) = drop_to {
            chown(folder, Some(uid), Some(gid)).expect("can't give the folder to PostgreSQL's user");
        }
        Runner { drop_to }
    }

    /// A command in the folder, as that user, deaf to the terminal's Ctrl-C: only the watchdog ends it.
    fn command(&self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        plain_environment(&mut command);
        command.current_dir(folder).process_group(0).stdin(Stdio::null());
        if let Some((uid, gid)) = self.drop_to {
            command.uid(uid).gid(gid);
        }
        command
    }
}

/// The process that cleans up after us, and the pipe that tells it when.
#[derive(Debug)]
struct Watchdog {
    shell: Child,
    leash: Option<ChildStdin>,
}

impl Watchdog {
    fn start(runner: &Runner, folder: &Path) -> Watchdog {
        let mut shell = runner
            .command(Path::new("/bin/sh"), folder)
            // Not in the folder that it removes, and not holding our output open after we are gone.
            .current_dir("/")
            .args(["-c", WATCHDOG, "tidegate-pg-watchdog"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("can't start /bin/sh");
        let leash = shell.stdin.take();
        Watchdog { shell, leash }
    }

    /// From here on this is the process to end.
    fn watch(&mut self, process: &Child) {
        if let Some(leash) = &mut self.leash {
            writeln!(leash, "{}", process.id()).expect("the watchdog is gone");
        }
    }

    fn release(&mut self) {
        self.leash = None;
    }

    fn wait(&mut self) {
        drop(self.shell.wait());
    }
}

/// The folder with `initdb`, `postgres` and `psql`.
#[derive(Debug)]
struct Binaries(PathBuf);

impl Binaries {
    fn find() -> Binaries {
        if let Some(named) = std::env::var_os(BIN_VARIABLE) {
            let named = PathBuf::from(named);
            assert!(
                complete(&named),
                "{BIN_VARIABLE}={}: no initdb, postgres and psql there",
                named.display()
            );
            return Binaries(named);
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        debian_folders()
            .into_iter()
            .chain(std::env::split_paths(&path))
            .find(|folder| complete(folder))
            .map(Binaries)
            .unwrap_or_else(|| {
                panic!(
                    "no PostgreSQL on this machine: `apt-get install postgresql` (or `just postgres`), \
                     or name the folder of initdb in {BIN_VARIABLE}"
                )
            })
    }

    fn tool(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

fn complete(folder: &Path) -> bool {
    ["initdb", "postgres", "psql"]
        .iter()
        .all(|tool| folder.join(tool).is_file())
}

/// Debian keeps each major version apart and out of the PATH; newest first.
fn debian_folders() -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .collect();
    versions.sort_unstable_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

/// Whom a server that refuses to run as root is to run as; nobody else when we are not root, which the owner of a new
/// folder of ours tells, as std has no other way to ask.
pub(crate) fn lesser_user(ours: &Path) -> Option<(u32, u32)> {
    let owner = fs::metadata(ours).expect("the new folder has no metadata").uid();
    (owner == 0).then(unprivileged)
}

/// uid and gid of `postgres`, which the distribution's package creates, or of `nobody`.
fn unprivileged() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").expect("can't read /etc/passwd");
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    ids("postgres")
        .or_else(|| ids("nobody"))
        .expect("PostgreSQL refuses root, and there is no other user to be")
}

fn init(binaries: &Binaries, runner: &Runner, folder: &Path, password: &str, watchdog: &mut Watchdog) {
    let password_file = folder.join("password");
    fs::write(&password_file, password).expect("can't write the password file");
    let mut initdb = runner
        .command(&binaries.tool("initdb"), folder)
        .args([
            "--pgdata=data",
            "--pwfile=password",
            "--auth=password",
            "--encoding=UTF8",
            "--locale=C",
        ])
        .args(["--no-sync", "--no-instructions", "--username", SUPERUSER])
        .stdout(log_file(folder))
        .stderr(log_file(folder))
        .spawn()
        .expect("can't run initdb");
    watchdog.watch(&initdb);
    let status = initdb.wait().expect("initdb got lost");
    assert!(status.success(), "initdb failed, {status}:\n{}", log(folder));
}

fn serve(binaries: &Binaries, runner: &Runner, folder: &Path, port: u16) -> Child {
    let settings = [
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        // One door is enough, and a socket's path may not be longer than 107 bytes.
        "unix_socket_directories=".to_owned(),
        format!("max_connections={MAX_CONNECTIONS}"),
        "shared_buffers=64MB".to_owned(),
        "fsync=off".to_owned(),
        "synchronous_commit=off".to_owned(),
        "full_page_writes=off".to_owned(),
    ];
    let mut server = runner.command(&binaries.tool("postgres"), folder);
    server.args(["-D", "data"]);
    for setting in settings {
        server.arg("-c").arg(setting);
    }
    server
        .stdout(log_file(folder))
        .stderr(log_file(folder))
        .spawn()
        .expect("can't run postgres")
}

/// A caller's `PGHOST`, `PGOPTIONS` or locale must not reach a test.
pub(crate) fn plain_environment(command: &mut Command) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).env("LC_ALL", "C");
}

fn log_file(folder: &Path) -> File {
    File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .expect("can't write PostgreSQL's log")
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_else(|e| format!("(its log can't be read: {e})"))
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("no free port on loopback")
        .port()
}

fn random_hex() -> String {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .expect("can't read /dev/urandom");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
