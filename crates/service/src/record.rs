//! The record's key at the start of a server: opened with a master key, or made when there is none yet.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tidegate_signing::{KeyRing, RecordSecret};
use tidegate_storage::{AuditNote, RecordKey, Store, WrappedKey};

use crate::{Actor, Error, Kind};

/// Opens the record with one of the ring's master keys, and gives the store its key. A database that has no record yet
/// gets one, which seals what is there. A master key that is new to it can open it from now on.
///
/// # Errors
/// [`Kind::Conflict`] with `record_closed` when no master key of the ring opens it: the message says which could.
/// [`Kind::Conflict`] with `record_tampered` when the record was changed. [`Kind::Unavailable`].
pub async fn open_record(
    store: &Store,
    keys: &KeyRing,
    now: DateTime<Utc>,
) -> Result<Arc<RecordSecret>, Error> {
    let mut kept = store.wrapped_record_keys().await?;
    if kept.is_empty() {
        begin(store, keys, now).await?;
        kept = store.wrapped_record_keys().await?;
    }
    let parts = kept
        .iter()
        .map(|key| (key.master_key.as_str(), key.wrapped.as_slice()));
    let secret = keys.open_record(parts).ok_or_else(|| closed(keys, &kept))?;
    store.use_record_key(RecordKey::new(&secret.mac_key()));
    let is_known = |name: &str| kept.iter().any(|key| key.master_key == name);
    let mut missing = wrap(keys, &secret)?;
    missing.retain(|key| !is_known(&key.master_key));
    if !missing.is_empty() {
        store.add_wrapped_record_keys(missing, now).await?;
    }
    tell_tampering(store).await?;
    Ok(Arc::new(secret))
}

async fn begin(store: &Store, keys: &KeyRing, now: DateTime<Utc>) -> Result<(), Error> {
    let secret =
        RecordSecret::generate().map_err(|fault| Error::internal("drawing the record's key", &fault))?;
    let wrapped = wrap(keys, &secret)?;
    let key = RecordKey::new(&secret.mac_key());
    let note: AuditNote = Actor::console().on_record(now).note("audit.seal", "audit");
    let begun = store
        .begin_record(key, secret.public_key(), wrapped, note)
        .await?;
    if begun {
        tracing::info!(
            event = "ota.audit.seal",
            public_key = hex(&secret.public_key()),
            "the audit log and the accounts bear MACs from now on"
        );
    }
    Ok(())
}

fn wrap(keys: &KeyRing, secret: &RecordSecret) -> Result<Vec<WrappedKey>, Error> {
    let wrapped = keys
        .wrap_record(secret)
        .map_err(|fault| Error::internal("encrypting the record's key", &fault))?;
    let wrapped = wrapped
        .into_iter()
        .map(|(master_key, wrapped)| WrappedKey { master_key, wrapped });
    Ok(wrapped.collect())
}

fn closed(keys: &KeyRing, kept: &[WrappedKey]) -> Error {
    let ours = keys.master_key_names().join(" and ");
    let theirs: Vec<&str> = kept.iter().map(|key| key.master_key.as_str()).collect();
    let message = match theirs[..] {
        [] => {
            "the key of the audit log was deleted from the database, and not by this server: restore a backup"
                .to_owned()
        }
        _ => format!(
            "the audit log of this database was sealed with another master key: the database knows {}, and this server has \
             {ours}; give it the earlier key as rotation_key (or as master_key) once, and it will know the new one too",
            theirs.join(", ")
        ),
    };
    Error::new(Kind::Conflict, "record_closed", message)
}

/// Says at the start what was changed behind the server's back, and refuses to run on a record that was.
async fn tell_tampering(store: &Store) -> Result<(), Error> {
    store.sealed().await?;
    let tampered = store.tampered_accounts().await?;
    let users = tampered.users.into_iter().map(|name| format!("user/{name}"));
    let accounts = tampered
        .service_accounts
        .into_iter()
        .map(|name| format!("service_account/{name}"));
    users.chain(accounts).for_each(|account| tell_tampered(&account));
    Ok(())
}

/// Logs that an account is not as this server wrote it.
pub(crate) fn tell_tampered(account: &str) {
    tracing::error!(
        event = "ota.account.tampered",
        account,
        "was changed in the database behind the server's back and has no access: remove it and look at who writes the database"
    );
}

/// In lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
