//! A server that does as a test wants: what Tidegate says, and what it never would. Over real sockets, or without
//! any where the test has to know each moment.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::StreamExt;
use serde_json::{Value, json};
use tidegate_agent::{Body, Credentials, Error, Transport};
use tidegate_testkit::apks::PACKAGE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::phone::fingerprint_of;
use crate::power::Fuse;

/// How much of a body goes out at a time.
const PIECE_BYTES: usize = 256 * 1024;

#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// The connection breaks after so many bytes of the body.
    pub cut: Option<usize>,
    /// The length is not told before.
    pub chunked: bool,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            headers: vec![],
            body: vec![],
            cut: None,
            chunked: false,
        }
    }

    pub(crate) fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        let kind = if status < 400 {
            "application/json"
        } else {
            "application/problem+json"
        };
        Self {
            body: body.to_string().into_bytes(),
            ..Self::status(status).with("content-type", kind)
        }
    }
}

/// What is done to a download.
#[derive(Clone, Debug)]
pub(crate) enum Trick {
    Answer(Reply),
    /// The connection breaks after so many bytes.
    Cut(usize),
    /// The length is not told before, and these bytes come after the file's.
    Unmeasured(Vec<u8>),
}

#[derive(Debug)]
pub(crate) struct Script {
    base: String,
    /// The server's clock, which its answers tell; nothing: they tell no time.
    pub date: Option<DateTime<Utc>>,
    /// What polls are told to wait, in seconds.
    pub poll_after: u64,
    /// What is offered; nothing: 304 with this reason.
    pub offer: Result<Value, &'static str>,
    pub file: Vec<u8>,
    /// What is at the URL of a patch.
    pub patch: Vec<u8>,
    /// What is done to downloads of the patch.
    pub patch_tricks: VecDeque<Trick>,
    /// The answer to a report that tells of a patch, as of a server that does not know the field.
    pub refuses_patches: Option<Reply>,
    pub poll_answers: VecDeque<Reply>,
    pub report_answers: VecDeque<Reply>,
    pub enrolment_answers: VecDeque<Reply>,
    /// The answer to a report with fields of protocol 2, as of a server that does not know them.
    pub refuses_offers: Option<Reply>,
    pub tricks: VecDeque<Trick>,
    /// Whether there is a route for results of commands.
    pub takes_results: bool,
    /// The queries of all polls.
    pub polls: Vec<String>,
    /// The `Range` of all downloads, each with its path.
    pub downloads: Vec<(String, Option<String>)>,
    /// The `If-Match` of all downloads that came over a socket.
    pub if_matches: Vec<Option<String>>,
    /// All reports that arrived, acknowledged or not.
    pub reports: Vec<Value>,
    pub enrolments: Vec<Value>,
    pub results: Vec<Value>,
    pub tokens: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Stage {
    script: Mutex<Script>,
    fuse: Arc<Fuse>,
}

impl Stage {
    /// Offers this build as version 2 to everybody.
    pub(crate) fn offering(apk: &[u8]) -> Arc<Self> {
        Self::offering_under(apk, Arc::default())
    }

    pub(crate) fn offering_under(apk: &[u8], fuse: Arc<Fuse>) -> Arc<Self> {
        Arc::new(Self {
            script: Mutex::new(Script {
                base: "https://stage".to_owned(),
                date: None,
                poll_after: 21_600,
                offer: Ok(manifest(apk, 2)),
                file: apk.to_vec(),
                patch: vec![],
                patch_tricks: VecDeque::new(),
                refuses_patches: None,
                poll_answers: VecDeque::new(),
                report_answers: VecDeque::new(),
                enrolment_answers: VecDeque::new(),
                refuses_offers: None,
                tricks: VecDeque::new(),
                takes_results: true,
                polls: vec![],
                downloads: vec![],
                if_matches: vec![],
                reports: vec![],
                enrolments: vec![],
                results: vec![],
                tokens: vec![],
            }),
            fuse,
        })
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// The different reports, as a server counts them: status and reason.
    pub(crate) fn told(&self) -> Vec<(String, String)> {
        let mut seen = vec![];
        let mut told = vec![];
        for report in &self.script().reports {
            let text = |field: &str| report[field].as_str().unwrap_or_default().to_owned();
            if !seen.contains(&text("request_id")) {
                seen.push(text("request_id"));
                told.push((text("status"), text("reason")));
            }
        }
        told
    }

    pub(crate) fn has_been_told(&self, status: &str, reason: &str) -> bool {
        self.told().contains(&(status.to_owned(), reason.to_owned()))
    }

    /// Listens on loopback until the test ends: its address.
    pub(crate) async fn listen(self: &Arc<Self>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        self.script().base.clone_from(&base);
        let stage = Arc::clone(self);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(Arc::clone(&stage), socket));
            }
        });
        base
    }

    fn answer(&self, method: &str, target: &str, range: Option<&str>, body: &[u8]) -> Reply {
        let reply = self.answer_undated(method, target, range, body);
        match self.script().date {
            Some(date) => reply.with("date", date.format("%a, %d %b %Y %H:%M:%S GMT").to_string()),
            None => reply,
        }
    }

    fn answer_undated(&self, method: &str, target: &str, range: Option<&str>, body: &[u8]) -> Reply {
        let mut script = self.script();
        let path = target.split('?').next().unwrap_or_default();
        let read = || serde_json::from_slice::<Value>(body).unwrap();
        match (method, path) {
            ("GET", "/v1/agent/update") => script.polled(target),
            ("GET", _) => script.download(target, range),
            ("POST", "/v1/agent/report") => {
                let report = read();
                let has_offer = report.get("offer").is_some() || report.get("rollout_id").is_some();
                let has_patch = report.get("patch").is_some();
                script.reports.push(report);
                if let Some(refusal) = script.refuses_patches.clone().filter(|_| has_patch) {
                    return refusal;
                }
                if let Some(refusal) = script.refuses_offers.clone().filter(|_| has_offer) {
                    return refusal;
                }
                let good = Reply::json(200, &json!({ "success": true }));
                script.report_answers.pop_front().unwrap_or(good)
            }
            ("POST", "/v1/agent/enroll") => {
                script.enrolments.push(read());
                script.enrolment_answers.pop_front().unwrap()
            }
            ("POST", "/v1/action-result") if script.takes_results => {
                script.results.push(read());
                Reply::json(200, &json!({ "success": true }))
            }
            ("PUT", "/v1/agent/fcm-token") => {
                let token = read()["fcm_token"].as_str().unwrap().to_owned();
                script.tokens.push(token);
                Reply::json(200, &json!({ "success": true }))
            }
            _ => Reply::json(
                404,
                &json!({ "code": "not_found", "detail": "there is nothing here" }),
            ),
        }
    }
}

impl Script {
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    fn polled(&mut self, target: &str) -> Reply {
        self.polls.push(target.to_owned());
        if let Some(reply) = self.poll_answers.pop_front() {
            return reply;
        }
        let number = self.polls.len();
        match &self.offer {
            Ok(manifest) => {
                let mut manifest = manifest.clone();
                manifest["download_url"] = json!(format!("{}/file?{number}", self.base));
                if manifest["patch"]["url"] == "" {
                    manifest["patch"]["url"] = json!(format!("{}/patch?{number}", self.base));
                }
                Reply::json(200, &manifest).with("tidegate-poll-after", self.poll_after.to_string())
            }
            Err(reason) => Reply::status(304)
                .with("tidegate-reason", *reason)
                .with("tidegate-poll-after", self.poll_after.to_string()),
        }
    }

    fn download(&mut self, target: &str, range: Option<&str>) -> Reply {
        self.downloads.push((target.to_owned(), range.map(str::to_owned)));
        let (file, tricks) = match target.starts_with("/patch") {
            true => (&self.patch, &mut self.patch_tricks),
            false => (&self.file, &mut self.tricks),
        };
        let trick = tricks.pop_front();
        if let Some(Trick::Answer(reply)) = trick {
            return reply;
        }
        let size = file.len();
        let from = range.map_or(0, |range| {
            let first = range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap();
            first.parse::<usize>().unwrap()
        });
        if from >= size {
            return Reply::status(416).with("content-range", format!("bytes */{size}"));
        }
        let mut reply = if range.is_some() {
            Reply::status(206).with("content-range", format!("bytes {from}-{}/{size}", size - 1))
        } else {
            Reply::status(200)
        };
        reply.body = file[from..].to_vec();
        match trick {
            Some(Trick::Cut(after)) => reply.cut = Some(after),
            Some(Trick::Unmeasured(more)) => {
                reply.chunked = true;
                reply.body.extend(more);
            }
            _ => {}
        }
        reply
    }
}

/// The manifest of a build that is offered as this version, with the URL left to the poll.
pub(crate) fn manifest(apk: &[u8], version: i64) -> Value {
    use sha2::Digest;
    let sha256 = tidegate_agent::domain::Sha256(sha2::Sha256::digest(apk).into());
    json!({
        "build_id": 7,
        "version_code": version,
        "package_name": PACKAGE,
        "download_url": "",
        "sha256": sha256.to_string(),
        "signer_fingerprint": fingerprint_of(apk).to_string(),
        "file_size": apk.len(),
        "wifi_only": false,
        "must_install": false,
        "force_downgrade": false,
        "attempt": 1,
        "a_field_of_tomorrow": {},
    })
}

pub(crate) fn credentials() -> Credentials {
    Credentials::new("a-device-token", "test-secret", Some("an-older-secret")).unwrap()
}

async fn serve(stage: Arc<Stage>, mut socket: TcpStream) {
    let mut read = vec![];
    let (head, body) = loop {
        let mut piece = [0; 4096];
        let count = socket.read(&mut piece).await.unwrap_or(0);
        if count == 0 {
            return;
        }
        read.extend_from_slice(&piece[..count]);
        let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8(read[..end].to_vec()).unwrap();
        let length = header(&head, "content-length").map_or(0, |length| length.parse::<usize>().unwrap());
        if read.len() >= end + 4 + length {
            break (head, read[end + 4..].to_vec());
        }
    };
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    if method == "GET" && !target.starts_with("/v1/") {
        stage.script().if_matches.push(header(&head, "if-match"));
    }
    let reply = stage.answer(method, target, header(&head, "range").as_deref(), &body);
    let _ = write(&mut socket, reply).await;
}

fn header(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

async fn write(socket: &mut TcpStream, reply: Reply) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Stage\r\nconnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &if reply.chunked {
        "transfer-encoding: chunked\r\n\r\n".to_owned()
    } else if reply.status == 304 {
        "\r\n".to_owned()
    } else {
        format!("content-length: {}\r\n\r\n", reply.body.len())
    };
    socket.write_all(head.as_bytes()).await?;
    let end = reply.cut.unwrap_or(reply.body.len());
    if reply.chunked {
        socket.write_all(format!("{end:x}\r\n").as_bytes()).await?;
        socket.write_all(&reply.body[..end]).await?;
        socket.write_all(b"\r\n0\r\n\r\n").await?;
    } else {
        socket.write_all(&reply.body[..end]).await?;
    }
    socket.flush().await?;
    socket.shutdown().await
}

/// Without sockets: each piece is a moment in which the power may go.
impl Transport for Stage {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Body>, Error> {
        self.fuse.moment().await;
        let target = request.uri().path_and_query().unwrap().as_str().to_owned();
        let range = request
            .headers()
            .get("range")
            .map(|range| range.to_str().unwrap());
        let reply = self.answer(request.method().as_str(), &target, range, request.body());
        self.fuse.moment().await;
        let mut response = http::Response::builder().status(reply.status);
        for (name, value) in &reply.headers {
            response = response.header(*name, value);
        }
        let mut pieces: Vec<_> = reply.body[..reply.cut.unwrap_or(reply.body.len())]
            .chunks(PIECE_BYTES)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        if reply.cut.is_some() {
            pieces.push(Err(Error::Transport("cut".to_owned())));
        }
        let fuse = Arc::clone(&self.fuse);
        let pieces = futures::stream::iter(pieces).then(move |piece| {
            let fuse = Arc::clone(&fuse);
            async move {
                fuse.moment().await;
                piece
            }
        });
        Ok(response.body(Body::new(pieces)).unwrap())
    }
}
