//! Who is asking: credentials turned into a device or an [`Actor`], without a database.

use std::sync::Arc;

use tidegate_domain::DeviceId;
use tidegate_signing::KeyRing;

use crate::{Actor, Clock, Error, Kind, Snapshots, credential_watch};

/// Checks credentials.
pub struct Authenticator {
    keys: Arc<KeyRing>,
    snapshots: Arc<Snapshots>,
    clock: Arc<dyn Clock>,
}

impl Authenticator {
    /// Over these keys and the revocations in `snapshots`.
    pub fn new(keys: Arc<KeyRing>, snapshots: Arc<Snapshots>, clock: Arc<dyn Clock>) -> Self {
        Self {
            keys,
            snapshots,
            clock,
        }
    }

    /// The device whose token this is, if it claims to be `device_id`.
    ///
    /// # Errors
    /// [`Kind::Unauthenticated`] for a forged, malformed or revoked token; [`Kind::Forbidden`] when the token is
    /// another device's.
    pub fn device_claiming(&self, token: &str, device_id: &str) -> Result<(), Error> {
        let claims = self.claims(token)?;
        if claims.device() != device_id {
            return Err(Error::new(
                Kind::Forbidden,
                "foreign_device",
                "a device may only ask for itself: the token belongs to another device_id",
            ));
        }
        Ok(())
    }

    /// The device whose token this is.
    ///
    /// # Errors
    /// [`Kind::Unauthenticated`] for a forged, malformed or revoked token.
    pub fn device(&self, token: &str) -> Result<DeviceId, Error> {
        Ok(DeviceId::parse(self.claims(token)?.device())?)
    }

    fn claims(&self, token: &str) -> Result<tidegate_signing::DeviceTokenClaims, Error> {
        let claims = self.keys.verify_device_token(token).map_err(|_| {
            let message = "the device token is not one that this server issued; enrol again";
            Error::new(Kind::Unauthenticated, "invalid_token", message)
        })?;
        if claims.generation() < self.snapshots.token_generation(claims.device()) {
            let message = "the device token was revoked; enrol again";
            return Err(Error::new(Kind::Unauthenticated, "token_revoked", message));
        }
        credential_watch::seen();
        Ok(claims)
    }

    /// The person or machine whose admin token this is.
    ///
    /// # Errors
    /// [`Kind::Unauthenticated`] for a forged, malformed or expired token.
    pub fn actor(&self, token: &str, request_id: Option<String>) -> Result<Actor, Error> {
        let claims = self
            .keys
            .verify_admin_token(token, self.clock.now())
            .map_err(|fault| Error::new(Kind::Unauthenticated, "invalid_token", fault.to_string()))?;
        credential_watch::seen();
        Ok(Actor {
            subject: claims.subject,
            role: claims.role,
            request_id,
        })
    }
}
