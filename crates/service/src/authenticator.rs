//! Who is asking: credentials turned into a device or an [`Actor`], without a database.

use std::sync::Arc;

use tidegate_domain::DeviceId;
use tidegate_signing::KeyRing;
use tidegate_storage::Store;

use crate::outdated_tokens::OutdatedTokens;
use crate::token_uses::TokenUses;
use crate::{Actor, Clock, Credential, Error, Kind, Snapshots, credential_watch};

/// Checks credentials.
pub struct Authenticator {
    keys: Arc<KeyRing>,
    snapshots: Arc<Snapshots>,
    clock: Arc<dyn Clock>,
    uses: TokenUses,
    outdated: OutdatedTokens,
}

impl Authenticator {
    /// Over these keys and the revocations in `snapshots`.
    pub fn new(keys: Arc<KeyRing>, snapshots: Arc<Snapshots>, clock: Arc<dyn Clock>) -> Self {
        Self {
            keys,
            snapshots,
            clock,
            uses: TokenUses::default(),
            outdated: OutdatedTokens::default(),
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
        if claims.generation() < self.snapshots.token_generation(claims.device(), &self.keys) {
            if let Ok(device) = claims.to_device_id() {
                self.outdated.note(device, claims.generation(), self.clock.now());
            }
            let message = "the device token was revoked; enrol again";
            return Err(Error::new(Kind::Unauthenticated, "token_revoked", message));
        }
        credential_watch::seen();
        Ok(claims)
    }

    /// The person or machine whose admin token this is.
    ///
    /// # Errors
    /// [`Kind::Unauthenticated`] for a forged, malformed, expired or ended token.
    pub fn actor(&self, token: &str, request_id: Option<String>) -> Result<Actor, Error> {
        let now = self.clock.now();
        let claims = self
            .keys
            .verify_admin_token(token, now)
            .map_err(|fault| Error::new(Kind::Unauthenticated, "invalid_token", fault.to_string()))?;
        let limits = self.snapshots.accounts().check(&claims)?;
        credential_watch::seen();
        self.uses.note(&claims.token_id, now);
        Ok(Actor {
            subject: claims.subject,
            role: claims.role,
            request_id,
            credential: Some(Credential {
                token_id: claims.token_id,
                expires_at: claims.expires_at,
            }),
            limits,
        })
    }

    /// Writes which devices showed a credential from before their last enrolment: two phones may share the id.
    ///
    /// # Errors
    /// [`Kind::Unavailable`]; what was to be written is lost then, and the next time is noted again.
    pub async fn note_duplicates(&self, store: &Store) -> Result<(), Error> {
        let shown = self.outdated.take();
        if shown.is_empty() {
            return Ok(());
        }
        for device in store.note_duplicates(shown).await? {
            tracing::warn!(event = "ota.device.duplicate", device_id = %device);
        }
        Ok(())
    }

    /// Writes when tokens were used last, and forgets what has expired.
    ///
    /// # Errors
    /// [`Kind::Unavailable`]; what was to be written is lost then, and the next use is noted again.
    pub(crate) async fn note_uses(&self, store: &Store) -> Result<(), Error> {
        let now = self.clock.now();
        self.snapshots.accounts().forget_expired(now);
        Ok(store.note_token_uses(self.uses.take(), now).await?)
    }
}
