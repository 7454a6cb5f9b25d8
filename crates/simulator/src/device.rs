//! One virtual device: an agent, the phone that it believes to run on, and the network between it and the server.

use std::sync::Arc;

use tidegate_agent::domain::{DeviceId, PackageName, SignerFingerprint, VersionCode};
use tidegate_agent::{Agent, Config, Credentials, Enrollment, EnrollmentKey, MemoryStore, PROTOCOL, Phase};

use crate::Error;
use crate::device_record::{BuildHistory, DeviceRecord};
use crate::device_rng::{DeviceRng, Question};
use crate::phone::{Phone, millis};
use crate::plan_books::Seen;
use crate::population::Population;
use crate::push::{Push, token_of};
use crate::wire::{Commons, Wire};
use crate::world::World;

/// How many transitions a device makes before the others have a turn.
const MAX_STEPS: u32 = 32;

/// The devices are switched on within so many seconds.
const FIRST_STARTS_S: f64 = 6.0 * 3_600.0;

/// How long a device waits after it could not enrol, in seconds.
const ENROLL_AGAIN_S: f64 = 300.0;

/// An installed app that somebody else signed.
const STRANGER: &str = "0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F";

/// A virtual device.
#[derive(Debug)]
pub(crate) struct Device {
    number: usize,
    id: DeviceId,
    package: PackageName,
    server: String,
    /// Where a push service reaches it, if there is one.
    fcm_token: Option<String>,
    enrollment_key: EnrollmentKey,
    phone: Arc<Phone>,
    wire: Arc<Wire>,
    /// `None` until it has enrolled.
    agent: Option<Agent<Arc<Phone>, Arc<Wire>, MemoryStore>>,
}

/// Who a device is and what it comes with.
pub(crate) struct Birth<'a> {
    pub(crate) number: usize,
    pub(crate) id: String,
    pub(crate) package: &'a PackageName,
    pub(crate) server: &'a str,
    pub(crate) seed: u64,
    pub(crate) population: &'a Arc<Population>,
    /// 0: it comes without the app.
    pub(crate) installed: i64,
    /// Who signed the app, as an API level sees it.
    pub(crate) signer: &'a (dyn Fn(u32) -> String + Send + Sync),
    /// Whether a push service reaches it.
    pub(crate) reached: bool,
    pub(crate) now: i64,
    /// By how much that is ahead of the time that its surroundings are computed for.
    pub(crate) ahead: i64,
}

impl Device {
    pub(crate) fn new(birth: Birth<'_>, commons: &Arc<Commons>) -> Result<Self, Error> {
        let rng = DeviceRng::new(birth.seed, birth.number as u64);
        let usage = |fault: &dyn std::fmt::Display| Error::Usage(fault.to_string());
        let world =
            World::of(birth.population, rng).ok_or_else(|| Error::Population("it has no rows".to_owned()))?;
        let id = DeviceId::parse(&birth.id).map_err(|fault| usage(&fault))?;
        let installed = match birth.installed {
            0 => None,
            code => Some(VersionCode::new(code).map_err(|fault| usage(&fault))?),
        };
        let strange = rng.happens(birth.population.wrong_signer, Question::WrongSigner, &[]);
        let own = (birth.signer)(world.sdk);
        let signer = SignerFingerprint::parse(if strange { STRANGER } else { &own });
        let phone = Phone::new(
            rng,
            world,
            Arc::clone(birth.population),
            installed,
            Some(signer.map_err(|fault| usage(&fault))?),
            (birth.now, birth.ahead),
        );
        let is_of_factory = birth.installed != 0 && birth.installed == birth.population.factory_version;
        let apk = commons.factory_apk.as_ref().filter(|_| is_of_factory);
        let phone = Arc::new(phone.with_files(&commons.apks, apk));
        let speaks = protocol_of(birth.population, rng);
        let wire = Wire::new(birth.id, Arc::clone(&phone), Arc::clone(commons), speaks);
        Ok(Self {
            number: birth.number,
            package: birth.package.clone(),
            server: birth.server.to_owned(),
            fcm_token: birth.reached.then(|| token_of(id.as_str())),
            enrollment_key: EnrollmentKey::draw().map_err(|fault| usage(&fault))?,
            id,
            phone,
            wire: Arc::new(wire),
            agent: None,
        })
    }

    pub(crate) fn number(&self) -> usize {
        self.number
    }

    pub(crate) fn id(&self) -> &str {
        self.id.as_str()
    }

    pub(crate) fn fcm_token(&self) -> Option<&str> {
        self.fcm_token.as_deref()
    }

    pub(crate) fn world(&self) -> &World {
        &self.phone.world
    }

    /// The time zone that it tells. Agents of before know of none.
    pub(crate) fn zone(&self) -> Option<&str> {
        let phone = &self.phone;
        let is_silent = phone
            .rng
            .happens(phone.population().no_zone, Question::NoZone, &[]);
        let zone = phone.world.region.zone.as_deref();
        zone.filter(|_| !is_silent && self.protocol() == PROTOCOL)
    }

    /// The protocol that its agent speaks.
    pub(crate) fn protocol(&self) -> u32 {
        self.wire.speaks()
    }

    /// What was kept for the books of a plan.
    pub(crate) fn seen(&self) -> Seen {
        let mut seen = self.with_record(|record| record.seen.clone());
        seen.installs = self.phone.installs();
        seen
    }

    /// How far it has lived, in milliseconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        self.phone.now()
    }

    /// Looks into what is recorded of it.
    pub(crate) fn with_record<R>(&self, look: impl FnOnce(&DeviceRecord) -> R) -> R {
        look(&self.wire.record())
    }

    /// What happened with a build of this version.
    pub(crate) fn history(&self, build: i64, version: i64) -> BuildHistory {
        self.wire.record().history(build, self.phone.deeds(version))
    }

    /// The file that its agent may read.
    #[cfg(test)]
    pub(crate) fn installed_apk(&self) -> Option<Vec<u8>> {
        match tidegate_agent::Platform::installed_apk(self.phone.as_ref(), &self.package)? {
            tidegate_agent::StoredFile::AgentState(apk) => Some(apk.to_vec()),
            tidegate_agent::StoredFile::Path(_) => None,
        }
    }

    /// Whether a build left it dead.
    pub(crate) fn is_bricked(&self) -> bool {
        self.phone.is_bricked()
    }

    /// What it runs; 0 for nothing.
    pub(crate) fn version(&self) -> i64 {
        self.phone.version()
    }

    /// Enrols. After a failure that may pass, it may be called again.
    pub(crate) async fn enroll(&mut self, token: &str) -> Result<(), tidegate_agent::Error> {
        let world = &self.phone.world;
        let enrollment = Enrollment {
            alias: Some(format!("Virtual {}", self.number + 1)),
            model: Some(world.model.name.clone()),
            manufacturer: Some(world.model.manufacturer.clone()),
            sdk: Some(world.sdk),
            android_version: world.android(),
            region: Some(world.region.name.clone()),
            tags: world.model.tags.clone(),
            package_name: Some(self.package.to_string()),
            current_version_code: Some(self.phone.version()),
            fcm_token: self.fcm_token.clone(),
            enrollment_key: Some(self.enrollment_key.clone()),
            ..Enrollment::default()
        };
        let enrolled = tidegate_agent::enroll(&self.wire, &self.server, token, &self.id, &enrollment).await;
        match enrolled {
            Ok(credentials) => self.start(credentials),
            Err(error) => {
                self.phone.spend(ENROLL_AGAIN_S);
                Err(error)
            }
        }
    }

    fn start(&mut self, credentials: Credentials) -> Result<(), tidegate_agent::Error> {
        let world = &self.phone.world;
        let config = Config {
            model: Some(world.model.name.clone()),
            manufacturer: Some(world.model.manufacturer.clone()),
            android: world.android(),
            region: Some(world.region.name.clone()),
            zone: self.zone().map(str::to_owned),
            tags: world.model.tags.clone(),
            abis: Some(world.model.abis.clone()),
            dense: self
                .phone
                .rng
                .happens(self.phone.population().dense, Question::Dense, &[]),
            ..Config::new(
                self.server.clone(),
                self.id.clone(),
                self.package.clone(),
                world.sdk,
            )
        };
        let (phone, wire) = (Arc::clone(&self.phone), Arc::clone(&self.wire));
        self.agent = Some(Agent::open(
            config,
            credentials,
            phone,
            wire,
            MemoryStore::default(),
        )?);
        Ok(())
    }

    /// When it is switched on, in a fleet that begins at this moment.
    pub(crate) fn first_start(&self, begin: i64) -> i64 {
        let after = self.phone.rng.fraction(Question::FirstStart, &[]) * FIRST_STARTS_S;
        (begin + millis(after)).max(self.now())
    }

    /// Hears what the push service brought and does what is due at this moment. Returns when it wants to act again;
    /// `None` when it never will, because the server has shut it out.
    pub(crate) async fn act(&mut self, at: i64, pushes: &[Push]) -> Option<i64> {
        self.phone.wait_until(at);
        for push in pushes {
            self.hear(push);
        }
        let agent = self.agent.as_mut()?;
        let mut wakes = at;
        for _ in 0..MAX_STEPS {
            let next = agent.step().await;
            wakes = self.phone.when_its_clock_shows(next.at);
            if self.phone.is_bricked() {
                return None;
            }
            if wakes > self.phone.now() || self.wire.is_in_trouble() {
                break;
            }
        }
        // Rounded up: its clock knows microseconds, ours does not.
        (!agent.is_locked_out()).then(|| (wakes + 1).max(self.phone.now()))
    }

    /// The agent decides whether it is the server that speaks.
    fn hear(&mut self, push: &Push) {
        let (Some(agent), Some(command)) = (&mut self.agent, push.command()) else {
            return;
        };
        if let Err(error) = agent.nudge_of(&command, self.phone.its_clock_at(push.at)) {
            tracing::warn!(device = self.id.as_str(), %error, "a command was not obeyed");
        }
    }

    /// Whether it waits for its next poll alone, and has sent all its reports.
    pub(crate) fn is_settled(&self) -> bool {
        self.agent
            .as_ref()
            .is_some_and(|agent| agent.phase() == Phase::Idle && agent.unacknowledged() == 0)
            && self.with_record(DeviceRecord::is_told)
    }
}

/// Which protocol the agent of a device speaks: the newest, or for some 1 or none.
fn protocol_of(population: &Population, rng: DeviceRng) -> u32 {
    let draw = rng.fraction(Question::OlderAgent, &[]);
    match (
        draw < population.older_agents,
        draw < population.older_agents / 2.0,
    ) {
        (_, true) => 0,
        (true, false) => 1,
        (false, false) => PROTOCOL,
    }
}
