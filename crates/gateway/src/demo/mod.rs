//! `tidegate demo`: a server, three builds and a fleet, so that everything can be tried without a phone.
//!
//! Nothing here goes behind the server's back. The builds come in by upload, the devices enrol, poll, fetch, verify
//! and report over HTTP, and the releases are made by the calls that the guide prints. Only the devices' clock is
//! compressed: they are the simulator's, and told to poll in six hours they are back in six seconds. A nudge is signed,
//! goes out to a stand-in for FCM, and reaches them as messages from there, which their agents check like any.

mod builds;
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

use crate::cli::Demo;
use crate::signals::Signals;
use crate::{Config, Error, RunningServer, Server};
use home::Home;
use operator::Operator;

/// The sample app.
const PACKAGE: &str = "com.example.tidepool";

/// The person that the guide logs in as.
const LOGIN: &str = "demo";

/// Runs the demo until the process is asked to end.
pub(crate) async fn run(options: Demo) -> Result<ExitCode, Error> {
    crate::keys::create_folder(&options.dir)?;
    let home = Home::open(&options.dir)?;
    let mut config = config(&options);
    // Ends with the demo.
    let fcm = push::stand_in(&options.dir, &mut config.fcm).await?;
    let server = Server::start(&config).await?;
    let mut signals = Signals::listen()?;
    let told = tokio::select! {
        told = tell(&server, &home, &options, &fcm) => told.map(|never| match never {}),
        asked = signals.asked_to_end() => asked.map_err(Error::from),
    };
    guide::say("\nstopping; start it again with the same command, and it goes on from here");
    server.shutdown().await;
    told.map(|()| ExitCode::SUCCESS)
}

fn config(options: &Demo) -> Config {
    let mut config = Config::in_folder(&options.dir);
    config.listen = options.listen;
    if options.listen.ip().is_unspecified() && options.listen.port() != 0 {
        config.public_url = Some(format!("http://127.0.0.1:{}", options.listen.port()));
    }
    config
}

/// Sets the stage, then lets the fleet live and the story go on for as long as nobody ends it.
async fn tell(
    server: &RunningServer,
    home: &Home,
    options: &Demo,
    fcm: &StandIn,
) -> Result<std::convert::Infallible, Error> {
    add_login(server, home).await?;
    let base = server.public_url().to_owned();
    let operator = Operator::log_in(&base, LOGIN, home.password()).await?;
    builds::upload_missing(&operator, home).await?;
    let token = home.enrollment_token(&operator).await?;
    guide::print(&base, &options.dir, home.password());
    let pushes = push::service(fcm);
    let fleet = fleet::Fleet::enroll(&base, &token, options.devices, &operator, home, pushes).await?;
    tokio::select! {
        end = fleet.live() => end,
        end = story::tell(&operator, options.devices) => end,
    }
}

/// The first person cannot be added over HTTP, because nobody is there yet who may. This is what
/// `tidegate admin user add` does.
async fn add_login(server: &RunningServer, home: &Home) -> Result<(), Error> {
    let users = &server.api().users;
    let password = home.password().to_owned().into();
    match users.add(&Actor::console(), LOGIN, Role::Admin, password).await {
        Err(error) if error.kind != Kind::Conflict => Err(error.into()),
        _ => Ok(()),
    }
}
