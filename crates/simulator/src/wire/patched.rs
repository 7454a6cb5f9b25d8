//! Devices that take patches, at a server that offers one: a few lines that answer as Tidegate does.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tidegate_agent::apk::inspect;
use tidegate_agent::delta::{self, unwatched};
use tidegate_agent::domain::SignerFingerprint;
use tidegate_testkit::apks::{self, PACKAGE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::device::{Birth, Device};
use crate::patch_books::{PatchBooks, PatchCounts};
use crate::population::Population;

const BUILD: i64 = 7;
const DEVICES: usize = 12;

/// Two versions and what leads from one to the other, and what was asked.
#[derive(Debug)]
struct Server {
    base: Vec<u8>,
    apk: Vec<u8>,
    patch: Vec<u8>,
    polls: Mutex<Vec<String>>,
}

fn hex(bytes: &[u8]) -> String {
    tidegate_agent::domain::Sha256(Sha256::digest(bytes).into()).to_string()
}

fn signer(apk: &[u8]) -> SignerFingerprint {
    SignerFingerprint(
        inspect(&apk.to_vec())
            .unwrap()
            .signers_at(34)
            .next()
            .unwrap()
            .sha256,
    )
}

impl Server {
    async fn start() -> (Arc<Self>, String) {
        let (base, apk) = (apks::large(PACKAGE, 1, 200_000), apks::large(PACKAGE, 2, 200_000));
        let mut patch = vec![];
        delta::make(
            &base,
            &apk,
            &mut patch,
            delta::Settings::default(),
            &mut unwatched,
        )
        .unwrap();
        let polls = Mutex::default();
        let server = Arc::new(Self {
            base,
            apk,
            patch,
            polls,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (serving, place) = (Arc::clone(&server), address.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (server, place) = (Arc::clone(&serving), place.clone());
                tokio::spawn(async move { server.serve(&place, socket).await });
            }
        });
        (server, address)
    }

    fn manifest(&self, place: &str, with_patch: bool) -> Value {
        let mut manifest = json!({
            "build_id": BUILD, "version_code": 2, "package_name": PACKAGE, "rollout_id": 3, "protocol": 2,
            "download_url": format!("{place}/v1/apk/7/download"), "sha256": hex(&self.apk),
            "signer_fingerprint": signer(&self.apk).to_string(), "file_size": self.apk.len(), "attempt": 1,
        });
        if with_patch {
            manifest["patch"] = json!({
                "format": "tgp1", "url": format!("{place}/somewhere/a-patch?signed"), "size": self.patch.len(),
                "sha256": hex(&self.patch), "from_version_code": 1, "from_sha256": hex(&self.base),
            });
        }
        manifest
    }

    fn answer(&self, place: &str, method: &str, target: &str, from: usize) -> (&'static str, Vec<u8>) {
        let file = |file: &[u8]| match from {
            0 => ("200 OK", file.to_vec()),
            from => ("206 Partial Content", file[from..].to_vec()),
        };
        match (method, target.split('?').next().unwrap()) {
            ("POST", "/v1/agent/enroll") => {
                let answer = json!({ "device_token": "t", "command_keys": { "primary": "a-test-secret" }, "protocol": 2 });
                ("201 Created", answer.to_string().into_bytes())
            }
            ("GET", "/v1/agent/update") if target.contains("current_version_code=2") => {
                ("304 Not Modified", vec![])
            }
            ("GET", "/v1/agent/update") => {
                self.polls.lock().unwrap().push(target.to_owned());
                let manifest = self.manifest(place, target.contains("patches=tgp1"));
                ("200 OK", manifest.to_string().into_bytes())
            }
            ("GET", "/v1/apk/7/download") => file(&self.apk),
            ("GET", "/somewhere/a-patch") => file(&self.patch),
            _ => ("200 OK", b"{}".to_vec()),
        }
    }

    async fn serve(&self, place: &str, mut socket: TcpStream) {
        let mut read = vec![];
        let (head, length) = loop {
            let mut piece = [0; 4096];
            let count = socket.read(&mut piece).await.unwrap_or(0);
            if count == 0 {
                return;
            }
            read.extend_from_slice(&piece[..count]);
            if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break (String::from_utf8(read[..end].to_vec()).unwrap(), end + 4);
            }
        };
        let header = |name: &str| {
            let line = head
                .lines()
                .find(|line| line.to_ascii_lowercase().starts_with(name));
            line.map(|line| line.split_once(':').unwrap().1.trim().to_owned())
        };
        let body = header("content-length").map_or(0, |length| length.parse::<usize>().unwrap());
        while read.len() < length + body {
            let mut piece = [0; 4096];
            let count = socket.read(&mut piece).await.unwrap_or(0);
            read.extend_from_slice(&piece[..count]);
        }
        let from = header("range").map_or(0, |range| {
            let range = range
                .trim_start_matches("bytes=")
                .trim_end_matches('-')
                .to_owned();
            range.parse().unwrap()
        });
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let (status, body) = self.answer(place, method, target, from);
        let size = from + body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-range: bytes {from}-{}/{size}\r\ncontent-length: {}\r\n\r\n",
            size.saturating_sub(1),
            body.len()
        );
        let _ = socket.write_all(head.as_bytes()).await;
        let _ = socket.write_all(&body).await;
        let _ = socket.shutdown().await;
    }
}

/// A fleet that meets nothing but what a test is about.
fn population(text: &str) -> Population {
    let mut population = Population::usual().unwrap();
    population.wrong_signer = 0.0;
    population.failures = vec![];
    population.storage.full_days = 0.0;
    population.downloads.cut = 0.3;
    population.downloads.corrupted = 0.0;
    population.patches = toml::from_str(text).unwrap();
    population
}

/// Lets devices live until each runs version 2: the books, and the devices' files.
async fn live(
    server: &Server,
    place: &str,
    population: Population,
    factory: bool,
) -> (PatchBooks, Vec<Vec<u8>>) {
    let commons = Arc::new(Commons {
        http: HttpTransport::direct().unwrap(),
        gauge: Gauge::new().unwrap(),
        settings: None,
        neighbourhood: Neighbourhood::default(),
        faults: 0.0,
        calm: AtomicBool::new(false),
        apks: Arc::default(),
        factory_apk: factory.then(|| Arc::new(server.base.clone())),
        traffic: Traffic::default(),
    });
    let (package, population) = (PACKAGE.parse().unwrap(), Arc::new(population));
    let own = signer(&server.base).to_string();
    let (mut records, mut files) = (vec![], vec![]);
    for number in 0..DEVICES {
        let birth = Birth {
            number,
            id: format!("sim-{number}"),
            package: &package,
            server: place,
            seed: 1,
            population: &population,
            installed: 1,
            signer: &|_| own.clone(),
            reached: false,
            now: crate::BEGIN,
            ahead: 0,
        };
        let mut device = Device::new(birth, &commons).unwrap();
        let mut tries = 0;
        while let Err(error) = device.enroll("a-token").await {
            tries += 1;
            assert!(tries < 1_000, "{error}");
        }
        let mut at = device.first_start(crate::BEGIN);
        for _ in 0..2_000 {
            if device.version() == 2 && device.is_settled() {
                break;
            }
            at = device.act(at, &[]).await.unwrap();
        }
        assert_eq!(device.version(), 2, "{number}");
        let record = |record: &DeviceRecord| (record.patches.clone(), record.downloaded_from(BUILD));
        records.push(device.with_record(record));
        files.extend(device.installed_apk());
    }
    let devices = PatchCounts::of(BUILD, records.into_iter());
    (PatchBooks::new(&commons.traffic, devices, None), files)
}

fn only(outcome: &str) -> std::collections::BTreeMap<String, u64> {
    [(outcome.to_owned(), DEVICES as u64)].into()
}

#[tokio::test]
async fn a_fleet_that_takes_patches_fetches_them_and_has_the_files_that_were_released() {
    let (server, place) = Server::start().await;
    let (books, files) = live(&server, &place, population("share = 1.0"), true).await;
    assert_eq!(books.devices.outcomes, only("applied"));
    assert_eq!(books.devices.full, 0);
    assert_eq!(books.file_bytes, 0);
    let least = (server.patch.len() * DEVICES) as u64;
    assert_eq!(
        books.patch_bytes, least,
        "a cut transfer is resumed, and no byte comes twice"
    );
    let saved = (server.apk.len() - server.patch.len()) * DEVICES;
    assert_eq!(books.devices.saved_bytes, saved as u64);
    assert_eq!(files.len(), DEVICES);
    assert!(files.iter().all(|file| *file == server.apk));
}

#[tokio::test]
async fn a_foreign_base_takes_whole_files_and_a_damaged_patch_costs_its_bytes() {
    let (server, place) = Server::start().await;
    let foreign = population("share = 1.0\nforeign_base = 1.0");
    let (books, files) = live(&server, &place, foreign, true).await;
    assert_eq!(books.devices.outcomes, only("base_differs"));
    assert_eq!((books.devices.full, books.patch_bytes), (DEVICES as u64, 0));
    assert!(
        files
            .iter()
            .all(|file| *file != server.apk && file.len() == server.apk.len())
    );

    let mut damaged = population("share = 1.0\ndamaged = 1.0");
    damaged.downloads.cut = 0.0;
    let (books, files) = live(&server, &place, damaged, true).await;
    assert_eq!(books.devices.outcomes, only("damaged"));
    assert_eq!(books.patch_bytes, (server.patch.len() * DEVICES) as u64);
    assert_eq!(books.file_bytes, (server.apk.len() * DEVICES) as u64);
    assert_eq!(books.devices.saved_bytes, 0);
    assert!(files.iter().all(|file| *file == server.apk));
}

/// Who has nothing to patch says nothing of patches: none of the fleet, or nobody before the first update.
#[tokio::test]
async fn a_fleet_without_files_says_nothing_of_patches() {
    for (text, factory) in [("share = 0.0", true), ("share = 1.0", false)] {
        let (server, place) = Server::start().await;
        let (books, files) = live(&server, &place, population(text), factory).await;
        assert!(books.devices.outcomes.is_empty());
        assert_eq!(books.patch_bytes, 0);
        assert!(books.file_bytes >= (server.apk.len() * DEVICES) as u64);
        assert!(
            server
                .polls
                .lock()
                .unwrap()
                .iter()
                .all(|poll| !poll.contains("patches"))
        );
        assert_eq!(
            files.len(),
            if factory { 0 } else { DEVICES },
            "what was installed can be patched later"
        );
    }
}
