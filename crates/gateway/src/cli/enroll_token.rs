//! `tidegate admin enroll-token` and `enroll-tokens`: what devices enrol with, as a text or as the QR code that a fresh
//! phone reads.

use std::sync::Arc;
use std::time::Duration;

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use tidegate_service::{Actor, Devices, EnrollToken, EnrollTokenSpec, Provisioning as Said, Snapshots};
use tidegate_signing::ExposeSecret;

use super::admin::delta;
use super::args::{EnrollTokens, Provisioning};
use super::people::{lines, moment};
use crate::wiring::{self, Stores, settings};
use crate::{Config, Error};

/// What a token is to be like.
pub(super) struct Asked {
    pub uses: u32,
    pub ttl: Duration,
    pub note: String,
    pub allow_known: bool,
}

async fn devices(config: &Config, init: bool) -> Result<Devices, Error> {
    let stores = Stores::open_made(config, init).await?;
    let clock = wiring::clock();
    let snapshots = Snapshots::load(stores.store.clone(), Arc::clone(&clock)).await?;
    let settings = Arc::new(settings(config, ""));
    Ok(Devices::new(
        stores.store,
        Arc::new(snapshots),
        stores.keys,
        clock,
        settings,
    ))
}

/// Makes a token that devices enrol with.
pub(super) async fn make(
    config: &Config,
    init: bool,
    asked: Asked,
    provisioning: Option<Provisioning>,
) -> Result<String, Error> {
    // Before there is a token that nobody could show.
    let said = provisioning.map(|asked| said(config, asked)).transpose()?;
    let spec = EnrollTokenSpec {
        uses: asked.uses,
        ttl: delta(asked.ttl),
        note: asked.note,
        allow_known: asked.allow_known,
    };
    let devices = devices(config, init).await?;
    let made = devices.create_enroll_token(&Actor::console(), spec).await?;
    match said {
        Some(said) => code(&said.json(&made.token)),
        None => Ok(made.token.expose_secret().to_owned()),
    }
}

/// What the code is to say; phones find this server where `--server` or else the setting says.
fn said(config: &Config, asked: Provisioning) -> Result<Said, Error> {
    let server = asked.server.or_else(|| config.public_url.clone());
    let server = server.ok_or_else(|| {
        let fault = "is not set: name it, or say --server URL, so that phones find this server";
        Error::unusable("public_url")(&fault)
    })?;
    Ok(Said {
        component: asked.component,
        apk_url: asked.apk_url,
        signer: asked.signer,
        server,
    })
}

/// The code for a terminal with a dark background, and below it what it says.
fn code(text: &str) -> Result<String, Error> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L)
        .map_err(|fault| Error::unusable("--qr")(&fault))?;
    let drawn = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .build();
    Ok(format!("{drawn}\n{text}"))
}

/// Lists and revokes enrolment tokens.
pub(super) async fn manage(config: &Config, init: bool, what: EnrollTokens) -> Result<String, Error> {
    let devices = devices(config, init).await?;
    let console = Actor::console();
    match what {
        EnrollTokens::List => lines(|page| devices.enroll_tokens(&console, page), told).await,
        EnrollTokens::Revoke { id } => Ok(told(&devices.revoke_enroll_token(&console, id).await?)),
    }
}

fn told(token: &EnrollToken) -> String {
    let end = match token.revoked_at {
        Some(at) => format!("revoked {}", moment(at)),
        None => format!("expires {}", moment(token.expires_at)),
    };
    let left = token.uses.saturating_sub(token.used);
    let known = if token.allow_known {
        ", allows known devices"
    } else {
        ""
    };
    let note = match token.note.as_str() {
        "" => String::new(),
        note => format!(", {note}"),
    };
    format!(
        "{} {left} of {} uses left, {end}{known}, made {} by {}{note}",
        token.id,
        token.uses,
        moment(token.created_at),
        token.created_by
    )
}
