//! The network between one agent and the server. It plays delays and faults, and records what the device sent and
//! received.

mod older;
#[cfg(test)]
mod patched;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use serde::Deserialize;
use tidegate_agent::{Body, Error, HttpTransport, PROTOCOL, Transport};
use url::Url;

use crate::apk_shelf::ApkShelf;
use crate::device_record::{DeviceRecord, Reported};
use crate::device_rng::Question;
use crate::formula::{Asking, RolloutSettings};
use crate::gauge::{Errand, Gauge};
use crate::patch_books::{OfferedPatch, Traffic};
use crate::phone::Phone;
use crate::place::Neighbourhood;
use crate::plan_books::{self, keep};
use crate::world::Link;

/// The longest answer that is parsed, in bytes; a manifest has a few kilobytes.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// The pieces in which a file comes to a device, in bytes. Between two of them the agent looks at its surroundings, so
/// they must not depend on how the sockets divide the file.
const PIECE: usize = 32 * 1024;

/// How long a device tries to reach somebody, in seconds.
const UNREACHED_S: f64 = 10.0;

/// What all devices of a fleet share.
#[derive(Debug)]
pub(crate) struct Commons {
    pub(crate) http: HttpTransport,
    pub(crate) gauge: Gauge,
    /// The settings that every answer is checked against, if they are known.
    pub(crate) settings: Option<RolloutSettings>,
    pub(crate) neighbourhood: Neighbourhood,
    /// How likely a request is made to fail.
    pub(crate) faults: f64,
    /// No more faults are played: the devices finish what they began.
    pub(crate) calm: AtomicBool,
    /// The files that phones have installed.
    pub(crate) apks: Arc<ApkShelf>,
    /// What they have when they leave the factory, if it is known.
    pub(crate) factory_apk: Option<Arc<Vec<u8>>>,
    /// How many bytes of files came to devices.
    pub(crate) traffic: Traffic,
}

/// One device's network.
#[derive(Debug)]
pub(crate) struct Wire {
    device: String,
    phone: Arc<Phone>,
    commons: Arc<Commons>,
    record: Mutex<DeviceRecord>,
    /// The protocol of the agent that is played.
    speaks: u32,
}

/// How a request is made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Unreached,
    AnswerLost,
    Busy,
}

impl Wire {
    pub(crate) fn new(device: String, phone: Arc<Phone>, commons: Arc<Commons>, speaks: u32) -> Self {
        Self {
            speaks,
            device,
            phone,
            commons,
            record: Mutex::default(),
        }
    }

    pub(crate) fn record(&self) -> MutexGuard<'_, DeviceRecord> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The protocol of the agent that is played.
    pub(crate) fn speaks(&self) -> u32 {
        self.speaks
    }

    pub(crate) fn is_in_trouble(&self) -> bool {
        self.commons.gauge.in_trouble()
    }

    /// How the `number`th request is to fail, if it is.
    fn fault(&self, number: u64) -> Option<Fault> {
        let (rng, rate) = (self.phone.rng, self.commons.faults);
        if self.commons.calm.load(Ordering::Relaxed) || !rng.happens(rate, Question::Fault, &[number]) {
            return None;
        }
        let shares = &self.phone.population().faults;
        let draw = rng.fraction(Question::FaultKind, &[number])
            * (shares.unreached + shares.answer_lost + shares.busy);
        let (name, fault) = if draw < shares.unreached {
            ("unreached", Fault::Unreached)
        } else if draw < shares.unreached + shares.answer_lost {
            ("answer_lost", Fault::AnswerLost)
        } else {
            ("busy", Fault::Busy)
        };
        *self.record().faults.entry(name).or_default() += 1;
        Some(fault)
    }

    async fn check_place(&self, request: &Request<Bytes>) -> Result<(), Error> {
        let lost = |fault: String| Error::Transport(fault);
        let url = Url::parse(&request.uri().to_string()).map_err(|fault| lost(fault.to_string()))?;
        let checked = self.commons.neighbourhood.check(&url).await;
        checked.map_err(|fault| lost(fault.to_string()))
    }

    /// Sends it to the server and records the answer.
    async fn exchange(&self, errand: Errand, request: Request<Bytes>) -> Result<Response<Body>, Error> {
        let reported = read_report(errand, request.body());
        let asked = Asked::read(errand, request.uri());
        let begun = Instant::now();
        let gauge = &self.commons.gauge;
        let answer = self.commons.http.send(request).await;
        let answer = answer.inspect_err(|_| gauge.unanswered(errand))?;
        if errand == Errand::Download && answer.status().is_success() {
            gauge.answered(errand, begun.elapsed());
            self.book_download();
            return Ok(answer);
        }
        let (head, body) = answer.into_parts();
        let body = read(body).await.inspect_err(|_| gauge.unanswered(errand))?;
        gauge.answered(errand, begun.elapsed());
        match errand {
            Errand::Poll => self.book_poll(&head, &body, asked.unwrap_or_default()),
            Errand::Report => {
                if let Some(report) = reported {
                    self.record().heard(&report, head.status);
                }
            }
            Errand::Enroll | Errand::Download => {}
        }
        let body = match errand {
            Errand::Poll if self.speaks < PROTOCOL => older::manifest(body),
            _ => body,
        };
        Ok(Response::from_parts(head, Body::from(body)))
    }

    /// The server's time, which is the fleet's where it drives the clock; the phone's where the answer tells none.
    fn server_time(&self, headers: &http::HeaderMap) -> i64 {
        let date = headers
            .get(http::header::DATE)
            .and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| chrono::DateTime::parse_from_rfc2822(date).ok());
        date.map_or_else(|| self.phone.now(), |date| date.timestamp_millis())
    }

    /// By the phone's time: only answers to polls tell the server's.
    fn book_download(&self) {
        let at = self.phone.now();
        let mut record = self.record();
        let version = record.offered_version;
        keep(&mut record.seen.downloads, plan_books::Transfer { at, version });
    }

    fn book_poll(&self, head: &http::response::Parts, body: &[u8], asked: Asked) {
        #[derive(Deserialize)]
        struct Offer {
            build_id: i64,
            rollout_id: i64,
            version_code: i64,
            file_size: u64,
            #[serde(default)]
            patch: Option<Patch>,
        }
        #[derive(Deserialize)]
        struct Patch {
            url: String,
            size: u64,
        }
        let mut offer: Option<Offer> = None;
        let answer = match head.status {
            StatusCode::OK => {
                offer = serde_json::from_slice(body).ok();
                offer
                    .as_ref()
                    .map(|offer| offer.build_id)
                    .ok_or("a manifest that cannot be read")
            }
            StatusCode::NOT_MODIFIED => {
                let reason = head.headers.get("tidegate-reason");
                Err(reason
                    .and_then(|reason| reason.to_str().ok())
                    .unwrap_or("no reason"))
            }
            _ => return,
        };
        self.commons.gauge.polled();
        let mut record = self.record();
        let asking = Asking {
            device: &self.device,
            world: &self.phone.world,
            installed: self.phone.version(),
        };
        let settings = self.commons.settings.as_ref().map(RolloutSettings::now);
        let contradiction = settings.and_then(|settings| {
            let offered = offer.as_ref().map(|offer| (offer.rollout_id, offer.build_id));
            let answer = answer.and_then(|_| offered.ok_or(""));
            settings.contradiction(asking, answer, |build| record.has_failed(build))
        });
        let offered = offer.as_ref().map(|offer| (offer.rollout_id, offer.build_id));
        let poll = plan_books::Poll {
            at: self.server_time(&head.headers),
            installed: asked.installed,
            has_file: asked.has_file,
            failed: record.has_failed_any(),
            offered,
            reason: answer.err().unwrap_or_default().to_owned(),
        };
        keep(&mut record.seen.polls, poll);
        record.polled(answer, self.phone.now());
        if let Some(offer) = &offer {
            record.offered_version = offer.version_code;
            record.offered_by(offer.rollout_id, offer.build_id, self.phone.now());
            if let Some(patch) = &offer.patch {
                let offered = OfferedPatch::new(&patch.url, patch.size, offer.file_size);
                record.patches.offered(offer.rollout_id, offer.build_id, offered);
            }
        }
        record.contradictions.extend(contradiction);
    }

    /// The file as this device gets it: in pieces of the same size, each after a delay, perhaps with a wrong byte,
    /// perhaps cut off.
    fn file(&self, number: u64, is_patch: bool, answer: Response<Body>) -> Response<Body> {
        let (rng, calm) = (self.phone.rng, self.commons.calm.load(Ordering::Relaxed));
        let (head, body) = answer.into_parts();
        let length = head.headers.get(http::header::CONTENT_LENGTH);
        let length: u64 = length
            .and_then(|length| length.to_str().ok()?.parse().ok())
            .unwrap_or(0);
        let somewhere = |question, about: u64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a place in a file, rounded down"
            )]
            let place = (rng.fraction(question, &[number, about]) * length as f64) as u64;
            place
        };
        let downloads = &self.phone.population().downloads;
        let happens = |chance, question| !calm && length > 0 && rng.happens(chance, question, &[number]);
        let cut = happens(downloads.cut, Question::Cut).then(|| somewhere(Question::Cut, 1));
        let damaged = if is_patch {
            self.phone.population().patches.damaged
        } else {
            0.0
        };
        let is_tipped =
            happens(downloads.corrupted, Question::Corruption) || happens(damaged, Question::PatchDamage);
        let tipped = is_tipped.then(|| somewhere(Question::Corruption, 1));
        if cut.is_some() {
            *self.record().faults.entry("cut").or_default() += 1;
        }
        if tipped.is_some() {
            *self.record().faults.entry("corrupted").or_default() += 1;
        }
        let transfer = Transfer {
            body: Some(body),
            held: BytesMut::new(),
            sent: 0,
            cut,
            tipped,
            is_patch,
            phone: Arc::clone(&self.phone),
            commons: Arc::clone(&self.commons),
        };
        let pieces = futures::stream::unfold(transfer, |mut transfer| async {
            transfer.next().await.map(|piece| (piece, transfer))
        });
        Response::from_parts(head, Body::new(pieces))
    }
}

impl Transport for Wire {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, Error> {
        let number = self.phone.next_request();
        let is_patch = self.record().patches.is_patch(request.uri().path());
        let errand = match is_patch {
            true => Errand::Download,
            false => errand(request.uri().path()),
        };
        let request = match errand {
            Errand::Poll if self.speaks < PROTOCOL => older::poll(request, self.speaks)?,
            _ => request,
        };
        if let Some(report) = read_report(errand, request.body()) {
            self.record().says(&report, self.phone.now());
        }
        if self.phone.is_bricked() || self.phone.world.link(self.phone.seconds()) == Link::Offline {
            return Err(Error::Transport("there is no network".to_owned()));
        }
        self.phone.spend(self.phone.world.latency(number));
        self.check_place(&request).await?;
        match self.fault(number) {
            Some(Fault::Unreached) => {
                self.phone.spend(UNREACHED_S);
                return Err(Error::Transport("nobody was reached".to_owned()));
            }
            Some(Fault::Busy) => return Ok(busy(&self.phone, number)),
            Some(Fault::AnswerLost) => {
                drop(self.exchange(errand, request).await?);
                self.phone.spend(UNREACHED_S);
                return Err(Error::Transport("the answer was lost".to_owned()));
            }
            None => {}
        }
        let answer = self.exchange(errand, request).await?;
        let is_file = errand == Errand::Download && answer.status().is_success();
        Ok(if is_file {
            self.file(number, is_patch, answer)
        } else {
            answer
        })
    }
}

/// What a device said in a poll.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    installed: i64,
    has_file: bool,
}

impl Asked {
    fn read(errand: Errand, uri: &http::Uri) -> Option<Self> {
        let mut asked = Self::default();
        let query = uri.query().filter(|_| errand == Errand::Poll)?;
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "current_version_code" => asked.installed = value.parse().unwrap_or_default(),
                "fetched" => asked.has_file = true,
                _ => {}
            }
        }
        Some(asked)
    }
}

fn errand(path: &str) -> Errand {
    match path.rsplit('/').next() {
        Some("update") => Errand::Poll,
        Some("download") => Errand::Download,
        Some("enroll") => Errand::Enroll,
        _ => Errand::Report,
    }
}

/// `None` for what is no report about a build.
fn read_report(errand: Errand, body: &[u8]) -> Option<Reported> {
    if errand != Errand::Report {
        return None;
    }
    serde_json::from_slice(body).ok()
}

fn busy(phone: &Phone, number: u64) -> Response<Body> {
    let range = phone.population().faults.retry_after_s;
    let seconds = phone
        .rng
        .between(range, Question::FaultKind, &[number, 1])
        .round();
    let mut response = Response::new(Body::from(Vec::new()));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    if let Ok(value) = format!("{seconds}").parse() {
        response.headers_mut().insert(http::header::RETRY_AFTER, value);
    }
    response
}

async fn read(mut body: Body) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    while let Some(piece) = body.chunk().await {
        let piece = piece?;
        if all.len() + piece.len() > MAX_ANSWER_BYTES {
            return Err(Error::Malformed(format!(
                "an answer is longer than {MAX_ANSWER_BYTES} bytes"
            )));
        }
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// A file on its way to a device.
struct Transfer {
    /// `None` after its end.
    body: Option<Body>,
    held: BytesMut,
    sent: u64,
    /// After how many bytes the connection breaks.
    cut: Option<u64>,
    /// Which byte is wrong.
    tipped: Option<u64>,
    is_patch: bool,
    phone: Arc<Phone>,
    commons: Arc<Commons>,
}

impl Transfer {
    async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        if let Err(error) = self.fill().await {
            self.body = None;
            self.held.clear();
            self.cut = None;
            return Some(Err(error));
        }
        let mut piece = self.held.split_to(self.held.len().min(PIECE));
        if let Some(cut) = self.cut {
            let left = usize::try_from(cut - self.sent).unwrap_or(usize::MAX);
            if left == 0 {
                (self.body, self.cut) = (None, None);
                self.held.clear();
                return Some(Err(Error::Transport("the transfer was cut off".to_owned())));
            }
            piece.truncate(left);
        }
        if piece.is_empty() {
            return None;
        }
        let place = self.tipped.and_then(|tipped| tipped.checked_sub(self.sent));
        if let Some(byte) = place.and_then(|place| piece.get_mut(usize::try_from(place).ok()?)) {
            *byte ^= 1;
        }
        self.sent += piece.len() as u64;
        self.commons.traffic.add(self.is_patch, piece.len() as u64);
        self.phone.spend(self.phone.world.transfer(piece.len() as u64));
        Some(Ok(piece.freeze()))
    }

    /// Reads until a piece is whole or nothing more comes.
    async fn fill(&mut self) -> Result<(), Error> {
        while self.held.len() < PIECE
            && let Some(body) = &mut self.body
        {
            match body.chunk().await {
                Some(Ok(bytes)) => self.held.extend_from_slice(&bytes),
                Some(Err(error)) => {
                    self.commons.gauge.unanswered(Errand::Download);
                    return Err(error);
                }
                None => self.body = None,
            }
        }
        Ok(())
    }
}
