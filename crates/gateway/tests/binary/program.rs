//! Running the binary.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use reqwest::Client;
use serde_json::Value;

/// Far longer than anything takes, so that a busy machine fails no test.
const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// The binary in a folder of its own, with no other environment than what a test gives it.
pub(crate) fn tidegate(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.env_clear().current_dir(folder).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    tidegate(folder).args(arguments).output().unwrap()
}

/// Runs a command that reads `input`.
pub(crate) fn run_with_input(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = tidegate(folder);
    command.args(arguments);
    feed(command, input)
}

/// The same with a command that is set up already.
pub(crate) fn feed(mut command: Command, input: &str) -> Output {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that refuses its arguments has gone before it reads.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The exit code, with what was printed when it is not the expected one.
pub(crate) fn exited(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}{}", out(output), err(output));
}

/// A program that runs on, and the lines that it prints. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    heard: RefCell<Vec<String>>,
}

impl Running {
    /// Starts a command. Its lines are those of standard output and standard error together.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let also = sender.clone();
        std::thread::spawn(move || {
            BufReader::new(stdout)
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| also.send(line))
        });
        std::thread::spawn(move || {
            BufReader::new(stderr)
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        Self {
            child,
            lines,
            heard: RefCell::default(),
        }
    }

    /// The next line that contains `text`.
    pub(crate) fn line(&self, text: &str) -> String {
        let mut heard = self.heard.borrow_mut();
        loop {
            match self.lines.recv_timeout(WAIT_LIMIT) {
                Ok(line) => heard.push(line),
                Err(fault) => panic!("no line with {text:?} came ({fault}); before: {heard:#?}"),
            }
            if let Some(line) = heard.last().filter(|line| line.contains(text)) {
                return line.clone();
            }
        }
    }

    /// Sends a signal, as `kill -NAME` does.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([&format!("-{name}"), &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Waits for the end, and returns all lines from the beginning.
    pub(crate) fn all(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        let mut all = self.heard.take();
        all.extend(self.lines.iter());
        (status, all.join("\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `tidegate serve` on a free port, with its data in `folder`.
pub(crate) fn serve(folder: &Path) -> (Running, SocketAddr) {
    let mut command = tidegate(folder);
    command.arg("serve").env("TIDEGATE_LISTEN", "127.0.0.1:0");
    let running = Running::start(command);
    let line: Value = serde_json::from_str(&running.line("ota.server.start")).unwrap();
    let addr = line["listen"].as_str().unwrap().parse().unwrap();
    (running, addr)
}

/// A client that does not leave the machine.
pub(crate) fn client() -> Client {
    tidegate_gateway::choose_cryptography();
    Client::builder().no_proxy().build().unwrap()
}

/// What a command of `tidegate admin` prints that must go well.
pub(crate) fn says(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, &[&["admin"], arguments].concat());
    exited(&output, 0);
    out(&output)
}

/// What one says that must be refused with this exit code.
pub(crate) fn refuses(folder: &Path, code: i32, arguments: &[&str]) -> String {
    let output = run(folder, &[&["admin"], arguments].concat());
    exited(&output, code);
    assert_eq!(out(&output), "");
    err(&output)
}
