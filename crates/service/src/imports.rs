//! Imports from another server: a file with a JSON object in each line, read as it comes, so that its size does not
//! matter. What cannot be taken is told with its line and does not keep the rest from being taken; to import the same file
//! again does no harm.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, Read as _};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tidegate_domain::{DeviceFacts, DeviceId, PackageName, Role, VersionCode, check_visible};
use tidegate_signing::{BcryptHash, PreviousTokenHash};
use tidegate_storage::{AuditNote, DeviceImport, Error as StorageError, ImportedDevice, Store};

use crate::enrolment::{check_alias, check_fcm_token, malformed};
use crate::users::check_name;
use crate::{Actor, Clock, Error};

/// The longest line of an import, in bytes.
pub const MAX_IMPORT_LINE_BYTES: usize = 64 * 1024;

/// How many devices are written in one transaction.
const BATCH: usize = 10_000;

/// The most of what is wrong with a line that is told.
const MAX_FAULT_CHARS: usize = 300;

/// Imports devices and users.
pub struct Imports {
    store: Store,
    clock: Arc<dyn Clock>,
}

/// What became of an import, in numbers of lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Were not known and are now.
    pub added: u64,
    /// Were imported before, and are now as the file says.
    pub updated: u64,
    /// Are in use here already: nothing of them was changed.
    pub kept: u64,
    /// Could not be taken.
    pub refused: u64,
    /// Were taken without their FCM token, which is another device's.
    pub without_fcm_token: u64,
    /// Packages that this server does not know, and of how many devices: what those run of it was left out.
    pub unknown_packages: BTreeMap<PackageName, u64>,
}

/// A device in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceLine {
    device_id: String,
    alias: Option<String>,
    model: Option<String>,
    manufacturer: Option<String>,
    sdk: Option<u32>,
    android_version: Option<String>,
    region: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    fcm_token: Option<String>,
    #[serde(default)]
    installed: Vec<InstalledEntry>,
    token_sha256: Option<String>,
    token_bcrypt: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InstalledEntry {
    package_name: String,
    version_code: i64,
}

/// Somebody in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserLine {
    name: String,
    role: String,
    password_bcrypt: String,
}

impl Imports {
    /// Over this database.
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// Imports devices, or with `dry_run` only says what would become of them. `tell` hears of each line that is not, or
    /// not wholly, taken, with its number.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`]; [`crate::Kind::Invalid`] when the file cannot be read on; [`crate::Kind::Unavailable`].
    /// What was written before stays, and can be imported again.
    pub async fn devices(
        &self,
        actor: &Actor,
        file: impl BufRead,
        dry_run: bool,
        mut tell: impl FnMut(u64, &str),
    ) -> Result<ImportReport, Error> {
        actor.require(Role::Admin)?;
        let mut report = ImportReport::default();
        let mut lines: HashMap<DeviceId, u64> = HashMap::new();
        let mut batch = Vec::new();
        for line in Lines::of(file) {
            let (number, line) = line?;
            let device = line.and_then(|line| device(&line)).and_then(|device| {
                match lines.insert(device.id.clone(), number) {
                    None => Ok(device),
                    Some(first) => Err(format!("device_id stands in line {first} already")),
                }
            });
            match device {
                Ok(device) => batch.push(device),
                Err(fault) => refuse(&mut report, &mut tell, number, &fault),
            }
            if batch.len() == BATCH {
                let full = std::mem::take(&mut batch);
                self.write(actor, full, dry_run, &lines, &mut report, &mut tell)
                    .await?;
            }
        }
        self.write(actor, batch, dry_run, &lines, &mut report, &mut tell)
            .await?;
        Ok(report)
    }

    async fn write(
        &self,
        actor: &Actor,
        devices: Vec<ImportedDevice>,
        dry_run: bool,
        lines: &HashMap<DeviceId, u64>,
        report: &mut ImportReport,
        tell: &mut impl FnMut(u64, &str),
    ) -> Result<(), Error> {
        let now = self.clock.now();
        let import = DeviceImport {
            devices,
            dry_run,
            now,
        };
        let note = actor.on_record(now).note("device.import", "import");
        let outcome = self.store.import_devices(import, note).await?;
        report.added += outcome.added;
        report.updated += outcome.updated;
        report.kept += outcome.enrolled.len() as u64;
        report.without_fcm_token += outcome.fcm_token_taken.len() as u64;
        for (package, devices) in outcome.unknown_packages {
            *report.unknown_packages.entry(package).or_default() += devices;
        }
        let line = |device: &DeviceId| lines.get(device).copied().unwrap_or_default();
        for device in &outcome.enrolled {
            tell(
                line(device),
                &format!("{device} has enrolled here already and was left as it is"),
            );
        }
        for device in &outcome.fcm_token_taken {
            let what = format!("{device} was taken without its fcm_token, which is another device's");
            tell(line(device), &what);
        }
        Ok(())
    }

    /// Imports people who may log in, as [`Imports::devices`]. Somebody who is known is left as they are. The first login
    /// makes a hash of our own of their password.
    ///
    /// # Errors
    /// As [`Imports::devices`].
    pub async fn users(
        &self,
        actor: &Actor,
        file: impl BufRead,
        dry_run: bool,
        mut tell: impl FnMut(u64, &str),
    ) -> Result<ImportReport, Error> {
        actor.require(Role::Admin)?;
        let mut report = ImportReport::default();
        for line in Lines::of(file) {
            let (number, line) = line?;
            let (user, role) = match line.and_then(|line| user(&line)) {
                Ok(user) => user,
                Err(fault) => {
                    refuse(&mut report, &mut tell, number, &fault);
                    continue;
                }
            };
            if self.add(actor, &user, role, dry_run).await? {
                report.added += 1;
            } else {
                report.kept += 1;
                tell(
                    number,
                    &format!("user {} exists already and was left as they are", user.name),
                );
            }
        }
        Ok(report)
    }

    /// Whether the user was not known.
    async fn add(&self, actor: &Actor, user: &UserLine, role: Role, dry_run: bool) -> Result<bool, Error> {
        if dry_run {
            return match self.store.user(&user.name).await {
                Ok(_) => Ok(false),
                Err(StorageError::NotFound { .. }) => Ok(true),
                Err(fault) => Err(fault.into()),
            };
        }
        let note = AuditNote {
            after: Some(serde_json::json!({ "role": role })),
            ..actor
                .on_record(self.clock.now())
                .note("user.import", format!("user/{}", user.name))
        };
        let hash = user.password_bcrypt.clone();
        match self.store.add_user(&user.name, role, hash, note).await {
            Ok(()) => Ok(true),
            Err(StorageError::Duplicate { .. }) => Ok(false),
            Err(fault) => Err(fault.into()),
        }
    }
}

fn refuse(report: &mut ImportReport, tell: &mut impl FnMut(u64, &str), line: u64, fault: &str) {
    report.refused += 1;
    let told: String = fault.chars().take(MAX_FAULT_CHARS).collect();
    tell(line, &told);
}

fn parsed<T: DeserializeOwned>(line: &str) -> Result<T, String> {
    // The place that serde_json adds is one within the line.
    serde_json::from_str(line).map_err(|fault| fault.to_string().replace(" at line 1 column ", " at column "))
}

fn device(line: &str) -> Result<ImportedDevice, String> {
    let line: DeviceLine = parsed(line)?;
    checked(line).map_err(|fault| fault.message)
}

fn checked(line: DeviceLine) -> Result<ImportedDevice, Error> {
    let id = DeviceId::parse(&line.device_id)?;
    check_visible("device_id", id.as_str(), false)?;
    check_alias(line.alias.as_deref())?;
    check_fcm_token(line.fcm_token.as_deref())?;
    let facts = DeviceFacts {
        sdk: line.sdk,
        model: line.model.map(Cow::Owned),
        manufacturer: line.manufacturer.map(Cow::Owned),
        region: line.region.map(Cow::Owned),
        android: line.android_version.map(Cow::Owned),
        tags: Some(line.tags.join(","))
            .filter(|tags| !tags.is_empty())
            .map(Cow::Owned),
        ..DeviceFacts::default()
    };
    facts.check()?;
    let previous_token = match (line.token_sha256, line.token_bcrypt) {
        (None, None) => None,
        (Some(hex), None) => Some(PreviousTokenHash::from_hex(&hex)),
        (None, Some(hash)) => Some(PreviousTokenHash::from_bcrypt(&hash)),
        (Some(_), Some(_)) => {
            return Err(Error::invalid(
                "token_sha256",
                "and token_bcrypt go not together: keep one",
            ));
        }
    };
    let previous_token = previous_token.transpose().map_err(malformed)?;
    let installed = line.installed.iter().map(|entry| {
        let package = PackageName::parse(&entry.package_name)?;
        Ok((package, VersionCode::new(entry.version_code)?))
    });
    Ok(ImportedDevice {
        id,
        alias: line.alias,
        facts,
        fcm_token: line.fcm_token.filter(|token| !token.is_empty()),
        installed: installed.collect::<Result<_, Error>>()?,
        previous_token: previous_token.map(|hash| hash.to_stored()),
    })
}

fn user(line: &str) -> Result<(UserLine, Role), String> {
    let line: UserLine = parsed(line)?;
    check_name(&line.name).map_err(|fault| fault.message)?;
    BcryptHash::parse(&line.password_bcrypt)
        .map_err(|fault| fault.to_string().replacen("bcrypt", "password_bcrypt", 1))?;
    let role = line
        .role
        .parse()
        .map_err(|fault: tidegate_domain::Error| fault.to_string())?;
    Ok((line, role))
}

/// The lines of a file with their numbers; empty ones are passed over. One that is too long, or no text, is an error of its
/// own and does not end the rest.
struct Lines<R> {
    file: R,
    number: u64,
}

type Line = (u64, Result<String, String>);

impl<R: BufRead> Lines<R> {
    fn of(file: R) -> Self {
        Self { file, number: 0 }
    }

    fn read(&mut self) -> std::io::Result<Option<Line>> {
        loop {
            let mut bytes = Vec::new();
            let limit = MAX_IMPORT_LINE_BYTES as u64 + 1;
            (&mut self.file).take(limit).read_until(b'\n', &mut bytes)?;
            if bytes.is_empty() {
                return Ok(None);
            }
            self.number += 1;
            if bytes.len() > MAX_IMPORT_LINE_BYTES && bytes.last() != Some(&b'\n') {
                self.file.skip_until(b'\n')?;
                let fault = format!("is longer than {MAX_IMPORT_LINE_BYTES} bytes");
                return Ok(Some((self.number, Err(fault))));
            }
            let line = String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned());
            if line.as_ref().is_ok_and(|line| line.trim().is_empty()) {
                continue;
            }
            return Ok(Some((self.number, line)));
        }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<Line, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read().transpose()?;
        Some(read.map_err(|fault| Error::invalid("file", format!("can't be read: {fault}"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_and_one_that_is_too_long_does_not_end_them() {
        let long = "x".repeat(MAX_IMPORT_LINE_BYTES);
        let text = format!("one\n\n  \n{long}\n{long}y\nlast");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(b"\n\xff\n");
        let lines: Vec<_> = Lines::of(&bytes[..]).map(Result::unwrap).collect();
        let read: Vec<_> = lines
            .iter()
            .map(|(number, line)| (*number, line.is_ok()))
            .collect();
        assert_eq!(read, [(1, true), (4, true), (5, false), (6, true), (7, false)]);
    }
}
