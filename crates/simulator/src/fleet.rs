//! A fleet of virtual devices, from its enrolment on.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use tidegate_agent::domain::PackageName;
use tidegate_agent::{Error as AgentError, HttpTransport};

use crate::device::{Birth, Device};
use crate::formula::{RolloutSettings, Serving};
use crate::gauge::Gauge;
use crate::life::{Life, Pace, Then, wait_for};
use crate::operator::Operator;
use crate::patch_books::Traffic;
use crate::place::Neighbourhood;
use crate::population::Population;
use crate::push::Push;
use crate::wire::Commons;
use crate::{Error, place};

/// The most devices of a fleet.
pub const MAX_DEVICES: u32 = 100_000;

/// How many devices talk to the server at the same moment.
pub const WIDTH: usize = 64;

/// How long the server may be away before a run gives up.
pub const MAX_OUTAGE: Duration = Duration::from_secs(120);

/// How often a device tries to enrol. One try in a hundred passes even where 99 of 100 requests are made to fail.
const ENROLL_TRIES: u32 = 1_000;

/// What a fleet is made of.
pub struct Muster {
    /// The server, on this machine.
    pub server: String,
    /// The package that the devices run.
    pub package: String,
    /// With what they enrol.
    pub enrollment_token: String,
    /// Their names; device number n has the nth.
    pub names: Vec<String>,
    /// What those of them run that don't come from the factory.
    pub installed: HashMap<String, i64>,
    /// Who signed the app that they run, as an API level sees it: a fingerprint in hex.
    pub signer: Box<dyn Fn(u32) -> String + Send + Sync>,
    /// Where all chance comes from.
    pub seed: u64,
    /// Who they are.
    pub population: Population,
    /// How likely a request is made to fail, 0 to 1.
    pub faults: f64,
    /// How fast their time goes.
    pub pace: Pace,
    /// When it begins, in milliseconds since 1970.
    pub begin: i64,
    /// By how many milliseconds their time is ahead of that for which habits, networks and batteries are computed. Whole
    /// weeks of it leave a fleet's days as they are.
    pub ahead: i64,
    /// What a push service brings, where one is played. Its devices tell the server of their tokens.
    pub push_service: Option<BoxStream<'static, Push>>,
}

impl std::fmt::Debug for Muster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Muster of {} devices", self.names.len())
    }
}

/// An enrolled fleet.
pub struct Fleet {
    pub(crate) life: Life,
    pub(crate) commons: Arc<Commons>,
    operator: Operator,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fleet")
    }
}

impl Fleet {
    /// Enrols a fleet whose counts nobody will compare, as the demo's.
    ///
    /// # Errors
    /// [`Error::Elsewhere`] for a server that is not on this machine; [`Error::Refused`], [`Error::Server`].
    pub async fn enroll(muster: Muster) -> Result<Self, Error> {
        // Nothing is asked that needs a token.
        let operator = Operator::new(&muster.server, "")?;
        Self::enroll_on(muster, None, operator, |_| {}).await
    }

    /// The same on settings that every answer is held against.
    pub(crate) async fn enroll_on(
        muster: Muster,
        serving: Option<Serving>,
        operator: Operator,
        enrolled: impl Fn(usize),
    ) -> Result<Self, Error> {
        let server = place::server(&muster.server).await?;
        let commons = Arc::new(Commons {
            http: HttpTransport::direct().map_err(|fault| Error::Server(fault.to_string()))?,
            gauge: Gauge::new()?,
            settings: serving.map(RolloutSettings::new),
            neighbourhood: Neighbourhood::default(),
            faults: muster.faults,
            calm: AtomicBool::new(false),
            apks: Arc::default(),
            factory_apk: factory_apk(&muster.population)?,
            traffic: Traffic::default(),
        });
        let package = PackageName::parse(&muster.package).map_err(|fault| Error::Usage(fault.to_string()))?;
        let population = Arc::new(muster.population);
        let mut born = Vec::with_capacity(muster.names.len());
        for (number, name) in muster.names.into_iter().enumerate() {
            let installed = muster.installed.get(&name).copied();
            let birth = Birth {
                number,
                id: name,
                package: &package,
                server: &server,
                seed: muster.seed,
                population: &population,
                installed: installed.unwrap_or(population.factory_version),
                signer: &muster.signer,
                reached: muster.push_service.is_some(),
                now: muster.begin,
                ahead: muster.ahead,
            };
            born.push(Device::new(birth, &commons)?);
        }
        let enrolling = born
            .into_iter()
            .map(|device| enroll_patiently(device, &muster.enrollment_token, &commons, &operator));
        let mut enrolling = futures::stream::iter(enrolling).buffer_unordered(WIDTH);
        let mut devices = Vec::new();
        while let Some(device) = enrolling.try_next().await? {
            devices.push(device);
            enrolled(devices.len());
        }
        drop(enrolling);
        devices.sort_by_key(|device| device.number());
        let mut life = Life::new(
            devices,
            Arc::clone(&commons),
            muster.pace,
            WIDTH,
            MAX_OUTAGE,
            muster.begin,
        );
        if let Some(push_service) = muster.push_service {
            life.listen(push_service);
        }
        Ok(Self {
            life,
            commons,
            operator,
        })
    }

    /// Lets the fleet live for as long as this is waited for, or until the server has shut every device out.
    ///
    /// # Errors
    /// [`Error::Server`] when the server stays away.
    pub async fn live(mut self) -> Result<(), Error> {
        self.live_until(i64::MAX, |_, _| Then::GoOn).await
    }

    pub(crate) async fn live_until(
        &mut self,
        end: i64,
        acted: impl FnMut(i64, &Device) -> Then,
    ) -> Result<(), Error> {
        self.life.live_until(end, &self.operator, acted).await
    }

    pub(crate) fn devices(&self) -> impl Iterator<Item = &Device> {
        self.life.devices()
    }

    pub(crate) fn operator(&self) -> &Operator {
        &self.operator
    }
}

/// What devices have when they leave the factory.
fn factory_apk(population: &Population) -> Result<Option<Arc<Vec<u8>>>, Error> {
    let Some(path) = &population.patches.factory_apk else {
        return Ok(None);
    };
    let read = std::fs::read(path).map_err(|source| Error::File {
        path: path.clone(),
        source,
    });
    Ok(Some(Arc::new(read?)))
}

/// Enrols a device through whatever is made to fail.
async fn enroll_patiently(
    mut device: Device,
    token: &str,
    commons: &Commons,
    operator: &Operator,
) -> Result<Device, Error> {
    let mut last = String::new();
    for _ in 0..ENROLL_TRIES {
        match device.enroll(token).await {
            Ok(()) => return Ok(device),
            Err(AgentError::Refused { status, detail, .. }) if status < 500 && status != 429 => {
                return Err(Error::Refused {
                    what: format!("{} enrols", device.id()),
                    status,
                    detail,
                });
            }
            Err(error) => last = error.to_string(),
        }
        if commons.gauge.in_trouble() {
            wait_for(operator, MAX_OUTAGE).await?;
            commons.gauge.over();
        }
    }
    Err(Error::Server(format!("{} cannot enrol: {last}", device.id())))
}
