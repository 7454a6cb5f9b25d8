//! A release with a patch, and a phone that can take it.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};
use sha2::Digest;
use tidegate_agent::delta::{self, unwatched};
use tidegate_agent::domain::Sha256;
use tidegate_agent::{Credentials, MemoryStore, StateStore, StoredFile};
use tidegate_testkit::apks::{self, PACKAGE};

use crate::phone::{Held, Phone, bytes_of, fingerprint_of, open};
use crate::stage::{Stage, credentials};

/// Two versions, and what leads from the first to the second.
#[derive(Debug)]
pub(crate) struct Release {
    pub base: Vec<u8>,
    pub apk: Vec<u8>,
    pub patch: Vec<u8>,
}

/// Bytes that don't compress, other ones for each start.
pub(crate) fn noise(mut state: u64, length: usize) -> Vec<u8> {
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// A text in which no three letters come twice, another one in places for each version. There is nothing for a compressor to
/// choose in it, so that whatever compresses it gives the bytes of zlib.
fn text(code: i64) -> Vec<u8> {
    let triple = |text: &[u8]| [text[0], text[1], text[2]];
    let mut seen = HashSet::new();
    let mut text = vec![0, 1];
    for letter in noise(77, 600_000) {
        let letter = letter % 128;
        if text.len() < 150_000 && seen.insert([text[text.len() - 2], text[text.len() - 1], letter]) {
            text.push(letter);
        }
    }
    let code = u8::try_from(code).unwrap();
    for place in (1_000..text.len() - 1_000).step_by(997) {
        let is_new = |letter: &u8| {
            let mut around = text[place - 2..place + 3].to_vec();
            around[2] = *letter;
            around.windows(3).all(|three| !seen.contains(&triple(three)))
        };
        let letter = (0..128).map(|letter| (letter + 40 * code) % 128).find(is_new);
        text[place] = letter.unwrap();
        seen.extend(text[place - 2..place + 3].windows(3).map(triple));
    }
    text
}

/// A version of the app: something that stays, something that changes in places and is compressed, and something new.
pub(crate) fn version(code: i64) -> Vec<u8> {
    let new = noise(u64::try_from(code).unwrap(), 40_000);
    let app = apks::release(PACKAGE, code)
        .file("assets/text", text(code))
        .stored_file("assets/new", new);
    apks::sign(app.padding(400_000))
}

pub(crate) fn patch(base: &[u8], apk: &[u8]) -> Vec<u8> {
    let mut patch = vec![];
    delta::make(base, apk, &mut patch, delta::Settings::default(), &mut unwatched).unwrap();
    patch
}

pub(crate) fn release() -> &'static Release {
    static RELEASE: OnceLock<Release> = OnceLock::new();
    RELEASE.get_or_init(|| {
        let (base, apk) = (version(1), version(2));
        let patch = patch(&base, &apk);
        assert!(patch.len() < apk.len() / 4, "{} of {}", patch.len(), apk.len());
        let scratch = delta::Patch::open(&patch, delta::Limits::default())
            .unwrap()
            .scratch_bytes();
        assert!(scratch > 140_000, "{scratch}: its text is to be inflated");
        Release { base, apk, patch }
    })
}

pub(crate) fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256(sha2::Sha256::digest(bytes).into())
}

/// What a manifest says of a patch, with the URL left to the poll.
pub(crate) fn offer_of(patch: &[u8], base: &[u8]) -> Value {
    json!({
        "format": "tgp1",
        "url": "",
        "size": patch.len(),
        "sha256": sha256(patch).to_string(),
        "from_version_code": 1,
        "from_sha256": sha256(base).to_string(),
        "a_field_of_tomorrow": 1,
    })
}

/// A stage of protocol 2 that offers this patch with the release.
pub(crate) fn stage_with(patch: &[u8]) -> Arc<Stage> {
    let release = release();
    let stage = Stage::offering(&release.apk);
    offer(&stage, offer_of(patch, &release.base));
    stage.script().patch = patch.to_vec();
    stage
}

/// Offers something else as the patch.
pub(crate) fn offer(stage: &Stage, patch: Value) {
    let mut script = stage.script();
    let manifest = script.offer.as_mut().unwrap();
    manifest["protocol"] = json!(2);
    manifest["offer"] = json!("an-opaque-offer");
    manifest["patch"] = patch;
}

/// A phone with version 1, whose file the agent may read.
pub(crate) fn phone() -> Arc<Phone> {
    let base = &release().base;
    let phone = Phone::with(1, fingerprint_of(base));
    phone.facts().apk = Some(StoredFile::AgentState(Arc::new(base.clone())));
    phone
}

/// What the enrolment at a server of protocol 2 brings.
pub(crate) fn credentials_of_protocol_2() -> Credentials {
    Credentials {
        server_protocol: Some(2),
        ..credentials()
    }
}

pub(crate) fn agent_of<S: StateStore>(
    stage: &Arc<Stage>,
    phone: &Arc<Phone>,
    store: S,
) -> Held<Arc<Stage>, S> {
    let credentials = credentials_of_protocol_2();
    open(
        phone,
        "https://stage",
        "phone-1",
        &credentials,
        Arc::clone(stage),
        store,
    )
}

pub(crate) fn agent(stage: &Arc<Stage>, phone: &Arc<Phone>) -> Held<Arc<Stage>, MemoryStore> {
    agent_of(stage, phone, MemoryStore::default())
}

/// The different reports: status, and what is said of the patch.
pub(crate) fn told(stage: &Stage) -> Vec<(String, Option<String>)> {
    let script = stage.script();
    let mut seen = vec![];
    let mut told = vec![];
    for report in &script.reports {
        if !seen.contains(&report["request_id"]) {
            seen.push(report["request_id"].clone());
            let patch = report
                .get("patch")
                .map(|patch| patch.as_str().unwrap().to_owned());
            told.push((report["status"].as_str().unwrap().to_owned(), patch));
        }
    }
    told
}

/// What was fetched: the paths and ranges.
pub(crate) fn fetched(stage: &Stage) -> Vec<(String, Option<String>)> {
    let path = |target: &String| target.split('?').next().unwrap().to_owned();
    let script = stage.script();
    script
        .downloads
        .iter()
        .map(|(target, range)| (path(target), range.clone()))
        .collect()
}

/// Version 2 is installed, byte for byte.
pub(crate) fn assert_installed(phone: &Phone) {
    let facts = phone.facts();
    assert_eq!(facts.installations, [2]);
    let installed = bytes_of(facts.apk.as_ref().unwrap());
    assert!(installed == release().apk, "another file was installed");
}

/// The update was told with this outcome of the patch from the download on, and went well.
pub(crate) fn assert_told(stage: &Stage, outcome: Option<&str>) {
    let outcome = outcome.map(str::to_owned);
    let expected = ["downloaded", "install_success"].map(|status| (status.to_owned(), outcome.clone()));
    assert_eq!(told(stage), expected);
}
