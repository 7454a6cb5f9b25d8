//! A phone that tests hold in their hand.

use std::sync::{Arc, Mutex, MutexGuard};

use chrono::{DateTime, Utc};
use tidegate_agent::domain::{Network, PackageName, SignerFingerprint, VersionCode};
use tidegate_agent::{
    Agent, Config, Credentials, InstallOutcome, Installation, Next, Phase, Platform, StateStore, StoredFile,
    Transport, apk,
};
use tidegate_testkit::apks::PACKAGE;

use crate::power::Fuse;

/// An agent on a phone that its test holds as well.
pub(crate) type Held<T, S> = Agent<Arc<Phone>, T, S>;

/// As many steps as nothing that goes well ever needs.
const MANY_STEPS: usize = 500;

/// How a phone is.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub now: DateTime<Utc>,
    pub battery: u8,
    pub charging: bool,
    pub free: u64,
    pub network: Network,
    pub in_call: bool,
    pub installed: Option<(i64, SignerFingerprint)>,
    /// The installed file, where the agent may read it.
    pub apk: Option<StoredFile>,
    /// Android does not say who signed the app.
    pub signer_is_hidden: bool,
    pub can_downgrade: bool,
    pub crashes: Option<u64>,
    pub zone: Option<String>,
    pub idle: Option<bool>,
    pub consents: Option<bool>,
    /// Goes at some moment.
    pub fuse: Arc<Fuse>,
    /// What Android says to the next installations; nothing: it obeys.
    pub answers: Vec<InstallOutcome>,
    /// The versions that Android was asked to install.
    pub asked: Vec<i64>,
    /// The versions that it installed.
    pub installations: Vec<i64>,
}

#[derive(Debug)]
pub(crate) struct Phone(Mutex<Facts>);

impl Phone {
    /// In good health, with this version installed.
    pub(crate) fn with(version: i64, signer: SignerFingerprint) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Facts {
            now: "2026-11-23T12:00:00Z".parse().unwrap(),
            battery: 80,
            charging: false,
            free: 8_000_000_000,
            network: Network::Wifi,
            in_call: false,
            installed: Some((version, signer)),
            apk: None,
            signer_is_hidden: false,
            can_downgrade: false,
            crashes: None,
            zone: None,
            idle: None,
            consents: None,
            fuse: Arc::default(),
            answers: vec![],
            asked: vec![],
            installations: vec![],
        })))
    }

    /// Its facts, to be read and changed.
    pub(crate) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap()
    }

    pub(crate) fn version(&self) -> Option<i64> {
        self.facts().installed.map(|(version, _)| version)
    }
}

impl Platform for Phone {
    fn battery(&self) -> u8 {
        self.facts().battery
    }
    fn charging(&self) -> bool {
        self.facts().charging
    }
    fn free_space(&self) -> u64 {
        self.facts().free
    }
    fn network(&self) -> Network {
        self.facts().network
    }
    fn in_call(&self) -> bool {
        self.facts().in_call
    }
    fn installed_version(&self, _: &PackageName) -> Option<VersionCode> {
        self.version().map(|version| VersionCode::new(version).unwrap())
    }
    fn installed_signer(&self, _: &PackageName) -> Option<SignerFingerprint> {
        let facts = self.facts();
        let known = facts.installed.filter(|_| !facts.signer_is_hidden);
        known.map(|(_, signer)| signer)
    }
    fn installed_apk(&self, _: &PackageName) -> Option<StoredFile> {
        self.facts().apk.clone()
    }
    fn can_downgrade(&self) -> bool {
        self.facts().can_downgrade
    }
    fn crashes(&self, _: &PackageName) -> Option<u64> {
        self.facts().crashes
    }
    fn zone(&self) -> Option<String> {
        self.facts().zone.clone()
    }
    fn idle(&self) -> Option<bool> {
        self.facts().idle
    }
    fn consents(&self, _: &PackageName) -> Option<bool> {
        self.facts().consents
    }
    fn clock(&self) -> DateTime<Utc> {
        self.facts().now
    }

    async fn install(&self, installation: Installation<'_>) -> InstallOutcome {
        // A moment in which the power may go before anything has happened, and one after all has.
        let fuse = Arc::clone(&self.facts().fuse);
        fuse.moment().await;
        let outcome = self.install_now(&installation);
        fuse.moment().await;
        outcome
    }
}

impl Phone {
    fn install_now(&self, installation: &Installation<'_>) -> InstallOutcome {
        let file = installation.file.open().unwrap();
        let found = apk::inspect(file.as_ref()).unwrap();
        assert_eq!(found.package, installation.package.as_str());
        let mut facts = self.facts();
        facts.asked.push(found.version_code);
        if !facts.answers.is_empty() {
            return facts.answers.remove(0);
        }
        let signer = found.signers_at(34).next().unwrap().sha256;
        facts.installed = Some((found.version_code, SignerFingerprint(signer)));
        facts.installations.push(found.version_code);
        if facts.apk.is_some() {
            facts.apk = Some(StoredFile::AgentState(bytes_of(installation.file).into()));
        }
        InstallOutcome::success()
    }
}

/// All bytes of a file.
pub(crate) fn bytes_of(file: &StoredFile) -> Vec<u8> {
    let source = file.open().unwrap();
    let mut bytes = vec![0; usize::try_from(source.len()).unwrap()];
    source.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// What a test's key shows as its fingerprint.
pub(crate) fn fingerprint_of(apk: &[u8]) -> SignerFingerprint {
    let found = apk::inspect(&apk.to_vec()).unwrap();
    SignerFingerprint(found.signers_at(34).next().unwrap().sha256)
}

pub(crate) fn config(server: &str, device: &str) -> Config {
    Config {
        model: Some("Buoy 4".to_owned()),
        region: Some("eu-north".to_owned()),
        abis: Some("arm64-v8a".to_owned()),
        ..Config::new(server, device.parse().unwrap(), PACKAGE.parse().unwrap(), 34)
    }
}

pub(crate) fn open<T: Transport, S: StateStore>(
    phone: &Arc<Phone>,
    server: &str,
    device: &str,
    credentials: &Credentials,
    transport: T,
    store: S,
) -> Held<T, S> {
    Agent::open(
        config(server, device),
        credentials.clone(),
        Arc::clone(phone),
        transport,
        store,
    )
    .unwrap()
}

/// Steps until the agent wants to sleep: where, and until when.
pub(crate) async fn settle<T: Transport, S: StateStore>(agent: &mut Held<T, S>) -> Next {
    for _ in 0..MANY_STEPS {
        let next = agent.step().await;
        if next.at > agent.platform().clock() {
            return next;
        }
    }
    panic!("the agent never sleeps: {:?}", agent.phase());
}

/// Lets time pass until the agent wants to go on, and settles again.
pub(crate) async fn later<T: Transport, S: StateStore>(agent: &mut Held<T, S>) -> Next {
    let next = settle(agent).await;
    agent.platform().facts().now = next.at;
    settle(agent).await
}

/// Steps until the agent stands somewhere.
pub(crate) async fn until<T: Transport, S: StateStore>(agent: &mut Held<T, S>, phase: Phase) {
    for _ in 0..MANY_STEPS {
        if agent.phase() == phase {
            return;
        }
        agent.step().await;
    }
    panic!(
        "the agent never comes to {phase:?}, it stands at {:?}",
        agent.phase()
    );
}
