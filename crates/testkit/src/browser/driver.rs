//! ChromeDriver, and the end of it.
//!
//! A driver that is killed leaves its Chromium running, and a test may end in ways that run no destructor. So a
//! small shell sits on the reading end of a pipe that this process holds open, as it does for PostgreSQL: when the
//! pipe closes it ends every process whose command line names the driver's folder, which only the driver's own do,
//! and removes the folder.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a driver may take to say where it listens, on a very busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);

const WATCHDOG: &str = r#"
folder=$1
read -r _
for _ in 1 2 3; do
  for process in /proc/[0-9]*; do
    id=${process#/proc/}
    [ "$id" != "$$" ] && tr '\0' '\n' <"$process/cmdline" 2>/dev/null | grep -qF -- "=$folder/" && kill -KILL "$id" 2>/dev/null
  done
  sleep 0.1
  rm -rf "$folder" && break
done
"#;

/// A running ChromeDriver with a folder of its own. Dropped, it and its browser end.
pub(super) struct Driver {
    port: u16,
    folder: PathBuf,
    pipe: Option<ChildStdin>,
    watchdog: Child,
    process: Child,
}

impl Driver {
    pub(super) fn start() -> Self {
        let folder = TempDir::with_prefix("tidegate-browser-")
            .expect("no temporary folder")
            .keep();
        let mut watchdog = Command::new("/bin/sh")
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C is for the tests; what follows from it is the pipe's to tell.
            .process_group(0)
            .spawn()
            .expect("no shell");
        let pipe = watchdog.stdin.take();
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .arg(format!("--log-path={}", folder.join("driver.log").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|fault| {
                panic!("chromedriver does not start ({fault}); `just browser` installs it and Chromium")
            });
        let said = process.stdout.take().expect("a pipe was asked for");
        let mut driver = Self {
            port: 0,
            folder,
            pipe,
            watchdog,
            process,
        };
        driver.port = port(said);
        driver
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where Chromium is to keep its profile.
    pub(super) fn profile(&self) -> PathBuf {
        self.folder.join("profile")
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.watchdog.wait();
        let _ = self.process.wait();
    }
}

/// Where the driver says that it listens.
fn port(said: ChildStdout) -> u16 {
    let begun = Instant::now();
    for line in BufReader::new(said).lines() {
        let line = line.expect("chromedriver says something unreadable");
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            return port.trim_end_matches('.').parse().expect("a port");
        }
        assert!(begun.elapsed() < START_LIMIT, "chromedriver only said: {line}");
    }
    panic!("chromedriver ended at once");
}
