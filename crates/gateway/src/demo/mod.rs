//! `tidegate demo`: a server, two apps and a fleet, so that everything can be tried without a phone.
//!
//! All of it goes through the server's own interfaces. The builds come in by upload, the devices enrol, poll, fetch, verify
//! and report over HTTP, and the releases are made by calls of the API. Only time is compressed, the
//! devices' and the server's alike: an hour is a second, and told to poll in six hours they are back in six seconds. A
//! nudge is signed, goes out to a stand-in for FCM, and reaches them as messages from there, which their agents check
//! like any.

mod builds;
mod calendar;
mod fleet;
mod guide;
mod home;
mod operator;
mod push;
mod story;

use std::process::ExitCode;

use tidegate_domain::Role;
use tidegate_fcm::stand_in::StandIn;
use tidegate_service::{Actor, Kind};
use tidegate_simulator::clock::Running;

use crate::cli::Demo;
use crate::signals::Signals;
use crate::{Config, Error, RunningServer, Server};
use builds::{KIOSKS, PHONES};
use calendar::Calendar;
use fleet::{Fleet, Surroundings};
use home::Home;
use operator::Operator;

/// One device of so many is a kiosk.
const KIOSKS_ONE_IN: u32 = 4;

/// The person that the guide logs in as.
const LOGIN: &str = "demo";

/// Runs the demo until the process is asked to end.
pub(crate) async fn run(options: Demo) -> Result<ExitCode, Error> {
    crate::keys::create_folder(&options.dir)?;
    let home = Home::open(&options.dir)?;
    let mut config = config(&options);
    // The stand-in ends when this is dropped.
    let fcm = push::stand_in(&options.dir, &mut config.fcm).await?;
    let calendar = Calendar::open(&options.dir)?;
    let clock = calendar.clock();
    let server = Server::start_at(&config, clock.clone()).await?;
    let mut signals = Signals::listen()?;
    let told = tokio::select! {
        told = tell(&server, &home, &options, &fcm, clock.running()) => told.map(|never| match never {}),
        kept = calendar.keep() => kept.map(|never| match never {}),
        asked = signals.asked_to_end() => asked.map_err(Error::from),
    };
    guide::say("\nstopping; start it again with the same command, and it goes on from here");
    server.shutdown().await;
    told.and_then(|()| calendar.write()).map(|()| ExitCode::SUCCESS)
}

fn config(options: &Demo) -> Config {
    let mut config = Config::in_folder(&options.dir);
    config.listen = options.listen;
    if options.listen.ip().is_unspecified() && options.listen.port() != 0 {
        config.public_url = Some(format!("http://127.0.0.1:{}", options.listen.port()));
    }
    config
}

/// Prepares the server, then runs the fleet and the operator's steps until it is dropped.
async fn tell(
    server: &RunningServer,
    home: &Home,
    options: &Demo,
    fcm: &StandIn,
    clock: Running,
) -> Result<std::convert::Infallible, Error> {
    add_login(server, home).await?;
    let base = server.public_url().to_owned();
    let operator = Operator::log_in(&base, LOGIN, home.password()).await?;
    for app in [&PHONES, &KIOSKS] {
        builds::upload_missing(app, &operator, home).await?;
    }
    let token = operator.enrollment_token().await?;
    guide::print(&base, &options.dir, home.password());
    let kiosks = options.devices / KIOSKS_ONE_IN;
    let sizes = [(&PHONES, options.devices - kiosks), (&KIOSKS, kiosks)];
    let around = Surroundings {
        server: &base,
        token: &token,
        home,
        clock,
    };
    let [(phones, many), (kiosks, few)] = sizes;
    let phones = Fleet::enroll(phones, many, &around, &operator, push::service(fcm)).await?;
    let kiosks = Fleet::enroll(kiosks, few, &around, &operator, push::service(fcm)).await?;
    guide::your_turn(&base, home.password(), options.devices, phones.new + kiosks.new);
    tokio::select! {
        end = phones.live() => end,
        end = kiosks.live() => end,
        end = story::tell(&operator, sizes) => end,
    }
}

/// Adds the first user, which takes a user over HTTP. This is what `tidegate admin user add` does.
async fn add_login(server: &RunningServer, home: &Home) -> Result<(), Error> {
    let users = &server.api().users;
    let password = home.password().to_owned().into();
    match users.add(&Actor::console(), LOGIN, Role::Admin, password).await {
        Err(error) if error.kind != Kind::Exists => Err(error.into()),
        _ => Ok(()),
    }
}
