//! A throwaway PgBouncer that hands out connections by the transaction, in front of the process's PostgreSQL.
//!
//! It has very few connections for very many callers, so that hardly any two transactions of a caller meet the same
//! session of the server. Whatever a program leaves in a session is then missing, or somebody else's.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::postgres::{Database, free_port, lesser_user, plain_environment};

/// Connections to each database, whatever many callers there are.
const SERVER_CONNECTIONS: u32 = 2;

const START_LIMIT: Duration = Duration::from_secs(30);

/// The URL of this database as it is reached through the process's pooler.
///
/// # Panics
/// When no PgBouncer is installed or when it does not start, with its log.
pub fn through(database: &Database) -> String {
    static SHARED: OnceLock<Pooler> = OnceLock::new();
    let url = database.url();
    let (people, place) = url.split_once('@').expect("a URL with a password");
    let (address, name) = place.split_once('/').expect("a URL with a name");
    let user = people.rsplit('/').next().unwrap_or_default();
    let (user, password) = user.split_once(':').expect("a URL with a password");
    let (_, port) = address.split_once(':').expect("a URL with a port");
    let pooler = SHARED.get_or_init(|| Pooler::start(port, user, password));
    format!("{people}@127.0.0.1:{}/{name}", pooler.port)
}

struct Pooler {
    port: u16,
    _folder: TempDir,
    _process: Child,
}

impl Pooler {
    fn start(postgres: &str, user: &str, password: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("tidegate-pgbouncer-")
            .tempdir()
            .expect("no temporary folder for PgBouncer");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("the folder's mode");
        let port = free_port();
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={postgres}\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = plain\nauth_file = users\nlogfile = log\npidfile = pid\n\
             pool_mode = transaction\ndefault_pool_size = {SERVER_CONNECTIONS}\nmax_client_conn = 1000\n"
        );
        fs::write(folder.path().join("pgbouncer.ini"), settings).expect("can't write PgBouncer's settings");
        fs::write(
            folder.path().join("users"),
            format!("\"{user}\" \"{password}\"\n"),
        )
        .expect("its users");
        let process = run(folder.path());
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                begun.elapsed() < START_LIMIT,
                "PgBouncer does not answer:\n{}",
                fs::read_to_string(folder.path().join("log")).unwrap_or_default()
            );
            sleep(Duration::from_millis(20));
        }
        Self {
            port,
            _folder: folder,
            _process: process,
        }
    }
}

/// It refuses to run as root. A shell ends it when this process is gone, which closes the pipe.
fn run(folder: &Path) -> Child {
    // Debian keeps it where an ordinary user does not look.
    const LEASH: &str =
        "PATH=$PATH:/usr/sbin; pgbouncer -q pgbouncer.ini & read -r _; kill $!; wait; cd /; rm -rf \"$1\"";
    let mut shell = Command::new("/bin/sh");
    plain_environment(&mut shell);
    shell
        .args(["-c", LEASH, "tidegate-pgbouncer"])
        .arg(folder)
        .current_dir(folder)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some((uid, gid)) = lesser_user(folder) {
        for file in [
            folder.to_owned(),
            folder.join("pgbouncer.ini"),
            folder.join("users"),
        ] {
            chown(file, Some(uid), Some(gid)).expect("can't give the folder to PgBouncer's user");
        }
        shell.uid(uid).gid(gid);
    }
    shell
        .spawn()
        .expect("can't start PgBouncer: `apt-get install pgbouncer`")
}
