//! Credentials: who calls, read from `Authorization: Bearer …` alike in REST and gRPC.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, header};
use tidegate_domain::DeviceId;
use tidegate_service::{Actor, Authenticator, Error, Kind, LoginFrom};
use tokio::time::Interval;
use tokio_util::sync::CancellationToken;

use crate::problem::Refusal;
use crate::request_id::RequestId;

/// A person or machine with an admin token.
pub(crate) struct Caller(pub Actor);

/// How often somebody who listens for long is looked at again.
const LOOKED_AT_EVERY: Duration = Duration::from_millis(500);

/// Somebody who listens, for as long as their token holds and the server runs.
pub(crate) struct Listener {
    authenticator: Arc<Authenticator>,
    token: String,
    stopping: CancellationToken,
    rhythm: Interval,
}

impl Listener {
    /// Who sent these headers.
    pub(crate) fn of(
        headers: &HeaderMap,
        authenticator: &Arc<Authenticator>,
        stopping: &CancellationToken,
    ) -> Result<Self, Error> {
        Ok(Self {
            authenticator: Arc::clone(authenticator),
            token: bearer(headers)?.to_owned(),
            stopping: stopping.clone(),
            rhythm: tokio::time::interval(LOOKED_AT_EVERY),
        })
    }

    /// Waits until they may listen no longer, and says why. May be dropped and called again without losing time.
    pub(crate) async fn ended(&mut self) -> Error {
        loop {
            tokio::select! {
                () = self.stopping.cancelled() => {
                    let message = "this server stops; ask again, and the next one goes on";
                    return Error::new(Kind::Unavailable, "stopping", message);
                }
                _ = self.rhythm.tick() => {
                    if let Err(error) = self.authenticator.actor(&self.token, None) {
                        return error;
                    }
                }
            }
        }
    }
}

/// A device with its token.
pub(crate) struct CallingDevice(pub DeviceId);

impl<S> FromRequestParts<S> for Caller
where
    S: Send + Sync,
    Arc<Authenticator>: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let request_id = parts.extensions.get::<RequestId>().map(|id| id.0.clone());
        Ok(Self(actor(
            &Arc::from_ref(state),
            bearer(&parts.headers)?,
            request_id,
        )?))
    }
}

impl<S> FromRequestParts<S> for CallingDevice
where
    S: Send + Sync,
    Arc<Authenticator>: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let authenticator = Arc::<Authenticator>::from_ref(state);
        Ok(Self(authenticator.device(bearer(&parts.headers)?)?))
    }
}

/// Where a login comes from, as far as the port and our own layers tell it. Only the page leaves a token in a browser.
pub(crate) fn login_from(extensions: &Extensions) -> LoginFrom {
    let connection = extensions.get::<ConnectInfo<SocketAddr>>();
    LoginFrom {
        address: connection.map(|ConnectInfo(address)| address.ip()),
        browser: None,
        request_id: extensions.get::<RequestId>().map(|id| id.0.clone()),
    }
}

/// Checks an admin token.
pub(crate) fn actor(
    authenticator: &Authenticator,
    token: &str,
    request_id: Option<String>,
) -> Result<Actor, Error> {
    authenticator.actor(token, request_id)
}

/// The token that a request carries.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, Error> {
    optional_bearer(headers)?.ok_or_else(|| {
        Error::new(
            Kind::Unauthenticated,
            "no_token",
            "send the token as \"Authorization: Bearer …\"",
        )
    })
}

/// The token that a request carries, if it carries one.
pub(crate) fn optional_bearer(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let token = value.to_str().ok().and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    token.filter(|token| !token.is_empty()).map(Some).ok_or_else(|| {
        let message = "the Authorization header must be \"Bearer …\"";
        Error::new(Kind::Unauthenticated, "no_token", message)
    })
}
