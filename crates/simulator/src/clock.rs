//! Time that one process drives and servers follow, over a Unix socket.
//!
//! The driver listens; `tidegate serve --clock PATH` connects. Both speak in lines of ASCII, each at most
//! [`MAX_LINE`] bytes long:
//!
//! | from | line | meaning |
//! |---|---|---|
//! | the server | `now 2026-11-30T00:00:00.000000Z` | its time: its first line, and its answer to each `at` |
//! | the driver | `at 2026-11-30T00:00:00.000000Z rate 3600` | from now on it is this time, and 3600 seconds of it pass in a real one; at rate 0 it stands still |
//!
//! A server computes its time from the last `at`, so it asks nobody when it reads its clock: time = `at` + real time
//! since then × `rate`. It never goes back: told an earlier time, it stands still until that has caught up. When the
//! driver is gone, the last `at` goes on to hold, and the server tries to connect again.
//!
//! The driver waits for the answers. What it does after that, servers see at the new time.

use std::fmt;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::Error;

/// The longest line, in bytes, its end included.
pub const MAX_LINE: u64 = 128;

/// The fastest clock: a day in a second.
pub const MAX_RATE: u32 = 86_400;

/// How many servers may follow at once; further ones are turned away.
const MAX_SERVERS: usize = 16;

/// How long a server may take to answer. A slower one is let go, and may connect again.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How often is looked whether a server has come.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The pause after the system refused a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a clock is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The time at the moment of setting.
    pub at: DateTime<Utc>,
    /// How many seconds pass in a real one; 0: none.
    pub rate: u32,
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {} rate {}", text_of(self.at), self.rate)
    }
}

impl FromStr for Reading {
    type Err = io::Error;

    fn from_str(line: &str) -> io::Result<Self> {
        let read = || {
            let (at, rate) = line.strip_prefix("at ")?.split_once(" rate ")?;
            let rate = rate.parse().ok().filter(|rate| *rate <= MAX_RATE)?;
            Some(Self { at: time(at)?, rate })
        };
        read().ok_or_else(|| invalid(line, "at 2026-11-30T00:00:00Z rate 3600, at most 86400"))
    }
}

/// A server's time, as it tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now(pub DateTime<Utc>);

impl fmt::Display for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "now {}", text_of(self.0))
    }
}

impl FromStr for Now {
    type Err = io::Error;

    fn from_str(line: &str) -> io::Result<Self> {
        let at = line.strip_prefix("now ").and_then(time);
        at.map(Self)
            .ok_or_else(|| invalid(line, "now 2026-11-30T00:00:00Z"))
    }
}

fn text_of(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn time(text: &str) -> Option<DateTime<Utc>> {
    let at = DateTime::parse_from_rfc3339(text).ok()?;
    Some(at.with_timezone(&Utc))
}

fn invalid(line: &str, form: &str) -> io::Error {
    let fault = format!("the line {line:?} is not like {form}");
    io::Error::new(io::ErrorKind::InvalidData, fault)
}

/// A clock that was set and goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Running {
    reading: Reading,
    since: Instant,
}

impl Running {
    /// Sets a clock to this, at this moment.
    pub fn set(reading: Reading) -> Self {
        Self {
            reading,
            since: Instant::now(),
        }
    }

    /// How many seconds pass in a real one.
    pub fn rate(&self) -> u32 {
        self.reading.rate
    }

    /// The time now. A clock that has come to the end of all time stands still.
    pub fn now(&self) -> DateTime<Utc> {
        let since = self.since.elapsed().saturating_mul(self.reading.rate);
        TimeDelta::from_std(since)
            .ok()
            .and_then(|since| self.reading.at.checked_add_signed(since))
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// When it will show this time; at once for what is past, and never (`None`) on a clock that stands still.
    pub fn when(&self, at: DateTime<Utc>) -> Option<Instant> {
        let left = (at - self.reading.at).to_std().unwrap_or_default();
        let left = left.checked_div(self.reading.rate)?;
        self.since.checked_add(left)
    }
}

/// One end of a connection.
#[derive(Debug)]
pub struct Peer(BufReader<UnixStream>);

impl Peer {
    /// Connects to the driver that listens here.
    ///
    /// # Errors
    /// When nobody does.
    pub async fn connect(path: &Path) -> io::Result<Self> {
        UnixStream::connect(path).await.map(Self::over)
    }

    fn over(stream: UnixStream) -> Self {
        Self(BufReader::new(stream))
    }

    /// Writes a line.
    ///
    /// # Errors
    /// When the other end is gone.
    pub async fn say(&mut self, line: &(impl fmt::Display + Sync)) -> io::Result<()> {
        self.0.write_all(format!("{line}\n").as_bytes()).await
    }

    /// Waits for a line and reads it.
    ///
    /// # Errors
    /// When the other end is gone, or says something else.
    pub async fn hear<T: FromStr<Err = io::Error>>(&mut self) -> io::Result<T> {
        let mut line = String::new();
        (&mut self.0).take(MAX_LINE).read_line(&mut line).await?;
        match line.strip_suffix('\n') {
            Some(line) => line.parse(),
            None if line.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            None => Err(invalid(&line, "a line of at most 128 bytes")),
        }
    }
}

/// Sets the time of all servers that follow. Dropped, it lets them go and removes its socket.
pub struct ClockDriver {
    path: PathBuf,
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

struct State {
    running: Running,
    /// The latest time that a server told.
    told: DateTime<Utc>,
    servers: Vec<Peer>,
}

impl fmt::Debug for ClockDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClockDriver at {}", self.path.display())
    }
}

impl Drop for ClockDriver {
    fn drop(&mut self) {
        self.accepting.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

impl ClockDriver {
    /// Listens for servers at this path. Until it is set, the clock shows the system's time.
    ///
    /// # Errors
    /// [`Error::Usage`] when a clock is driven there already; [`Error::File`] when no socket can be made there.
    pub async fn listen(path: &Path) -> Result<Self, Error> {
        remove_left_over(path).await?;
        let listener = UnixListener::bind(path).map_err(|source| Error::File {
            path: path.to_owned(),
            source,
        })?;
        let system = Reading {
            at: Utc::now(),
            rate: 1,
        };
        let state = Arc::new(Mutex::new(State {
            running: Running::set(system),
            told: system.at,
            servers: Vec::new(),
        }));
        Ok(Self {
            path: path.to_owned(),
            accepting: tokio::spawn(accept(listener, Arc::clone(&state))),
            state,
        })
    }

    /// Waits until a server follows, and returns the latest time that one has told: before it none can be set.
    ///
    /// # Errors
    /// [`Error::Server`] when none comes for so long.
    pub async fn wait_for_server(&self, limit: Duration) -> Result<DateTime<Utc>, Error> {
        let come = async {
            loop {
                let state = self.state.lock().await;
                if !state.servers.is_empty() {
                    return state.told;
                }
                drop(state);
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let path = self.path.display();
        timeout(limit, come).await.map_err(|_| {
            Error::Server(format!(
                "no server follows the clock at {path}; start it with `tidegate serve --clock {path}`"
            ))
        })
    }

    /// Sets the clock, and waits until all servers that follow have it. It never goes back: an earlier time changes
    /// only the rate.
    pub async fn set(&self, at: DateTime<Utc>, rate: u32) {
        let mut state = self.state.lock().await;
        let at = at.max(state.running.now());
        state.running = Running::set(Reading { at, rate });
        let mut left = Vec::new();
        for mut server in std::mem::take(&mut state.servers) {
            match tell(&mut server, state.running.reading).await {
                Ok(told) => {
                    state.told = state.told.max(told);
                    left.push(server);
                }
                Err(error) => tracing::debug!(%error, "a server follows no longer"),
            }
        }
        state.servers = left;
    }

    /// Sets only the rate.
    pub async fn set_rate(&self, rate: u32) {
        self.set(DateTime::<Utc>::MIN_UTC, rate).await;
    }
}

/// Removes the socket of a driver that was killed.
async fn remove_left_over(path: &Path) -> Result<(), Error> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    if UnixStream::connect(path).await.is_ok() {
        let path = path.display();
        return Err(Error::Usage(format!(
            "a clock is driven at {path} already; name another --clock"
        )));
    }
    std::fs::remove_file(path).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })
}

async fn accept(listener: UnixListener, state: Arc<Mutex<State>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let mut server = Peer::over(stream);
        let Ok(Ok(Now(first))) = timeout(ANSWER_LIMIT, server.hear()).await else {
            continue;
        };
        let mut state = state.lock().await;
        if state.servers.len() == MAX_SERVERS {
            continue;
        }
        let now = Reading {
            at: state.running.now(),
            rate: state.running.rate(),
        };
        if let Ok(told) = tell(&mut server, now).await {
            state.told = state.told.max(first).max(told);
            state.servers.push(server);
        }
    }
}

/// Tells a server the time, and waits for its answer.
async fn tell(server: &mut Peer, reading: Reading) -> io::Result<DateTime<Utc>> {
    let told = async {
        server.say(&reading).await?;
        server.hear().await.map(|Now(at)| at)
    };
    timeout(ANSWER_LIMIT, told).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> DateTime<Utc> {
        time(text).unwrap()
    }

    #[test]
    fn a_line_says_what_it_was_made_of_and_nothing_else_is_taken() {
        let reading = Reading {
            at: moment("2026-11-30T00:00:00.25Z"),
            rate: 3_600,
        };
        assert_eq!(reading.to_string(), "at 2026-11-30T00:00:00.250000Z rate 3600");
        assert_eq!(reading.to_string().parse::<Reading>().unwrap(), reading);
        assert_eq!(
            Now(reading.at).to_string().parse::<Now>().unwrap(),
            Now(reading.at)
        );
        for line in [
            "",
            "at soon rate 1",
            "at 2026-11-30T00:00:00Z",
            "at 2026-11-30T00:00:00Z rate -1",
            "at 2026-11-30T00:00:00Z rate 86401",
            "now 2026-11-30T00:00:00Z",
        ] {
            assert!(line.parse::<Reading>().is_err(), "{line}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_hour_is_a_second_and_a_clock_that_stands_shows_one_time() {
        let at = moment("2026-11-30T00:00:00Z");
        let (fast, still) = (
            Running::set(Reading { at, rate: 3_600 }),
            Running::set(Reading { at, rate: 0 }),
        );
        let begun = Instant::now();
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(fast.now(), at + TimeDelta::hours(2));
        assert_eq!(still.now(), at);
        let due = fast.when(at + TimeDelta::hours(3));
        assert_eq!(due, Some(begun + Duration::from_secs(3)));
        assert_eq!(still.when(at + TimeDelta::hours(3)), None);
    }

    #[tokio::test]
    async fn a_server_has_the_time_when_setting_it_ends_and_it_never_goes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clock");
        let driver = ClockDriver::listen(&path).await.unwrap();
        let late = moment("2127-01-01T00:00:00Z");
        let server = tokio::spawn({
            let path = path.clone();
            async move {
                let (mut peer, mut heard) = (Peer::connect(&path).await.unwrap(), Vec::new());
                peer.say(&Now(late)).await.unwrap();
                while let Ok(reading) = peer.hear::<Reading>().await {
                    heard.push(reading);
                    peer.say(&Now(late.max(reading.at))).await.unwrap();
                }
                heard
            }
        });
        assert_eq!(driver.wait_for_server(ANSWER_LIMIT).await.unwrap(), late);
        let next = late + TimeDelta::hours(1);
        driver.set(next, 0).await;
        driver.set(late, 7).await;
        driver.set_rate(0).await;
        drop(driver);
        let heard = server.await.unwrap();
        assert_eq!(heard[0].rate, 1, "the system's time, until it is set");
        assert_eq!(heard[1], Reading { at: next, rate: 0 });
        assert_eq!(heard[2], Reading { at: next, rate: 7 });
        assert_eq!((heard[3].rate, heard.len()), (0, 4));
        assert!(!path.exists(), "the socket is gone with its driver");
    }

    #[tokio::test]
    async fn two_drivers_share_no_path_and_a_killed_one_leaves_it_free() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let driver = ClockDriver::listen(&path).await.unwrap();
        let second = ClockDriver::listen(&path).await.unwrap_err();
        assert!(second.to_string().contains("already"), "{second}");
        drop(driver);
        std::fs::write(&path, "a file of somebody's").unwrap();
        assert!(ClockDriver::listen(&path).await.is_err());
        assert!(path.exists(), "a file is not removed");
    }

    #[tokio::test]
    async fn nobody_who_says_something_else_is_taken_for_a_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clock");
        let driver = ClockDriver::listen(&path).await.unwrap();
        let mut stranger = Peer::connect(&path).await.unwrap();
        stranger.say(&"GET / HTTP/1.1").await.unwrap();
        assert!(stranger.hear::<Reading>().await.is_err(), "it is let go");
        let none = driver.wait_for_server(LOOK_EVERY).await.unwrap_err();
        assert!(none.to_string().contains("tidegate serve --clock"), "{none}");
    }
}
