//! `tidegate backup` and `tidegate restore --check`.
//!
//! A backup is a folder: `tidegate.db` (with SQLite), `blobs.jsonl` with the SHA-256 and the size of each build's file,
//! `backup.json`, which says what it is, and `key/master.key`, to be kept apart.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use chrono::SecondsFormat;
use serde_json::{Value, json};
use tidegate_domain::Sha256;
use tidegate_service::{AuditLog, Clock as _, SystemClock};
use tidegate_signing::{ExposeSecret as _, KeyRing};
use tidegate_storage::{BuildFilter, MAX_PAGE_SIZE, Page, Store};

use super::audit::told;
use super::{print, runtime};
use crate::config::LogFormat;
use crate::wiring::{Stores, open_record};
use crate::{Config, Error, keys, telemetry};

const DATABASE: &str = "tidegate.db";
const BLOBS: &str = "blobs.jsonl";
const MANIFEST: &str = "backup.json";
const KEY_FOLDER: &str = "key";

/// The longest line and the longest description that is read, in bytes.
const MAX_LINE_BYTES: u64 = 4096;

/// How many faults of files are told one by one.
const MAX_FAULTS: usize = 100;

/// Makes a backup in a folder that is empty or not there.
pub(super) async fn backup(config: &Config, folder: &Path) -> Result<String, Error> {
    let Stores { store, .. } = Stores::open_made(config, false).await?;
    prepare(folder)?;
    let now = SystemClock.now();
    let has_database = store.copy_to(folder.join(DATABASE)).await;
    let has_database = has_database.map_err(tidegate_service::Error::from)?;
    // After the copy: whatever it refers to is in the list.
    let blobs = blobs(&store).await?;
    let mut list = String::new();
    for (sha256, size) in &blobs {
        list.push_str(&format!(
            "{}\n",
            json!({ "sha256": sha256.to_string(), "size": size })
        ));
    }
    write(&folder.join(BLOBS), &list)?;
    let key_folder = folder.join(KEY_FOLDER);
    create_private(&key_folder)?;
    let key = keys::master_key(config)?;
    write(
        &key_folder.join(keys::KEY_FILE),
        &format!("{}\n", key.to_text().expose_secret()),
    )?;
    let manifest = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "made_at": now.to_rfc3339_opts(SecondsFormat::Secs, true),
        "engine": store.engine_name(),
        "blobs": blobs.len(),
    });
    write(&folder.join(MANIFEST), &format!("{manifest}\n"))?;
    let mut lines = vec![format!("made a backup in {}", folder.display())];
    if !has_database {
        lines.push(
            "the database is PostgreSQL and not in it: copy it with pg_dump, at once, or after you stopped the server"
                .to_owned(),
        );
    }
    lines.push(format!(
        "{BLOBS} lists {} files of builds, which are not in it: copy the artifact store",
        blobs.len()
    ));
    lines.push(format!(
        "{KEY_FOLDER}/{} is the master key: keep it in another place than the rest",
        keys::KEY_FILE
    ));
    Ok(lines.join("\n"))
}

/// Refuses a folder that holds anything, and makes one that is not there.
fn prepare(folder: &Path) -> Result<(), Error> {
    let fault = Error::file(folder);
    match fs::read_dir(folder) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(fault(io::Error::new(
                    io::ErrorKind::DirectoryNotEmpty,
                    "the folder is not empty: a backup is made in one of its own",
                )));
            }
            set_mode(folder, 0o700).map_err(fault)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => create_private(folder),
        Err(error) => Err(fault(error)),
    }
}

fn create_private(folder: &Path) -> Result<(), Error> {
    keys::create_folder(folder)
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

/// Writes a file that only its owner may read, down to the disk.
fn write(path: &Path, text: &str) -> Result<(), Error> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .map_err(Error::file(path))
}

/// The files of all builds and patches, each once.
async fn blobs(store: &Store) -> Result<Vec<(Sha256, u64)>, Error> {
    let (mut found, mut token) = (Vec::new(), None);
    loop {
        let page = Page::new(Some(MAX_PAGE_SIZE), token).map_err(tidegate_service::Error::from)?;
        let builds = store.builds(BuildFilter::default(), page).await;
        let builds = builds.map_err(tidegate_service::Error::from)?;
        found.extend(
            builds
                .items
                .iter()
                .map(|build| (build.facts.sha256, build.facts.size)),
        );
        token = builds.next_page_token;
        if token.is_none() {
            break;
        }
    }
    let patches = store.patches().await.map_err(tidegate_service::Error::from)?;
    let made = patches
        .iter()
        .filter_map(|patch| Some((patch.sha256?, patch.size?)));
    found.extend(made);
    found.sort_unstable_by_key(|(sha256, _)| sha256.0);
    found.dedup();
    Ok(found)
}

/// Looks whether a backup could take the place of the database, and prints what is wrong with it. Changes nothing.
pub(super) fn check(config: &Config, folder: &Path) -> Result<ExitCode, Error> {
    telemetry::start_with("warn", LogFormat::Text)?;
    let report = runtime()?.block_on(examine(config, folder))?;
    print(&report.lines.join("\n"))?;
    Ok(if report.is_sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

struct Report {
    lines: Vec<String>,
    is_sound: bool,
}

impl Report {
    fn fault(&mut self, line: String) {
        self.is_sound = false;
        self.lines.push(line);
    }
}

async fn examine(config: &Config, folder: &Path) -> Result<Report, Error> {
    let manifest = read_manifest(folder)?;
    let mut report = Report {
        lines: vec![format!(
            "a backup of {}",
            manifest["made_at"].as_str().unwrap_or("an unknown time")
        )],
        is_sound: true,
    };
    let listed = read_blobs(&folder.join(BLOBS))?;
    if Some(listed.len() as u64) != manifest["blobs"].as_u64() {
        report.fault(format!(
            "{BLOBS} was cut or changed: it has {} lines",
            listed.len()
        ));
    }
    if folder.join(DATABASE).exists() {
        // Opening a database writes to it, and a backup is to stay as it is.
        let copy = tempfile::Builder::new().prefix("tidegate-restore-").tempdir()?;
        match open_copy(config, folder, copy.path()).await {
            Ok(store) => examine_database(&store, &listed, &mut report).await?,
            Err(fault) => report.fault(format!("the database cannot be opened: {fault}")),
        }
    } else if manifest["engine"] == "sqlite" {
        report.fault(format!("{DATABASE} is missing"));
    } else {
        report
            .lines
            .push("the database was PostgreSQL: its pg_dump is not looked at".to_owned());
    }
    examine_files(config, &listed, &mut report).await?;
    report.lines.push(if report.is_sound {
        "the backup is sound".to_owned()
    } else {
        "the backup is NOT sound".to_owned()
    });
    Ok(report)
}

fn read_manifest(folder: &Path) -> Result<Value, Error> {
    let path = folder.join(MANIFEST);
    let mut text = String::new();
    File::open(&path)
        .and_then(|file| file.take(MAX_LINE_BYTES).read_to_string(&mut text))
        .map_err(Error::file(&path))?;
    let damaged = |fault| Error::file(&path)(io::Error::new(io::ErrorKind::InvalidData, fault));
    serde_json::from_str(&text).map_err(|fault| damaged(format!("this is no backup's description: {fault}")))
}

fn read_blobs(path: &Path) -> Result<Vec<(Sha256, u64)>, Error> {
    let fault = Error::file(path);
    let damaged = |line: &str| {
        let words = format!(
            "this line names no file: {}",
            line.chars().take(100).collect::<String>()
        );
        io::Error::new(io::ErrorKind::InvalidData, words)
    };
    let mut lines = BufReader::new(File::open(path).map_err(&fault)?);
    let mut found = Vec::new();
    loop {
        let mut line = String::new();
        let read = (&mut lines).take(MAX_LINE_BYTES).read_line(&mut line);
        if read.map_err(&fault)? == 0 {
            return Ok(found);
        }
        let parsed = || {
            let value: Value = serde_json::from_str(&line).ok()?;
            Some((value["sha256"].as_str()?.parse().ok()?, value["size"].as_u64()?))
        };
        found.push(parsed().ok_or_else(|| fault(damaged(&line)))?);
    }
}

/// A store over a copy of the backup's database, with the backup's master key, or the configured one where that was taken
/// out.
async fn open_copy(config: &Config, folder: &Path, copy: &Path) -> Result<Store, Error> {
    let file = copy.join(DATABASE);
    fs::copy(folder.join(DATABASE), &file).map_err(Error::file(&file))?;
    let settings = tidegate_storage::Settings::new(file.display().to_string());
    let store = Store::open(&settings)
        .await
        .map_err(tidegate_service::Error::from)?;
    let key: PathBuf = folder.join(KEY_FOLDER).join(keys::KEY_FILE);
    let master = if key.exists() {
        keys::read(&key, "master_key")?
    } else {
        keys::master_key(config)?
    };
    open_record(&store, &KeyRing::new(&master, config.rotation_key.as_ref())).await?;
    Ok(store)
}

async fn examine_database(store: &Store, listed: &[(Sha256, u64)], report: &mut Report) -> Result<(), Error> {
    let walk = AuditLog::new(store.clone(), Arc::new(SystemClock))
        .verify()
        .await?;
    report.is_sound &= walk.is_intact();
    report.lines.extend(told(&walk));
    let needed = blobs(store).await?;
    let unlisted = needed.iter().filter(|blob| !listed.contains(blob)).count();
    if unlisted > 0 {
        report.fault(format!("{unlisted} files of builds are not in {BLOBS}"));
    }
    report
        .lines
        .push(format!("the database opens, with {} builds' files", needed.len()));
    Ok(())
}

/// Looks for the listed files in the artifact store of the settings.
async fn examine_files(config: &Config, listed: &[(Sha256, u64)], report: &mut Report) -> Result<(), Error> {
    let unusable = |fault: tidegate_artifacts::Error| Error::unusable("artifact_store")(&fault);
    if !tidegate_artifacts::Store::is_there(&config.artifact_store).map_err(unusable)? {
        report.fault(format!("there is no artifact store at {}", config.artifact_store));
        return Ok(());
    }
    // Nothing is to be made where the backup is looked at.
    let staging = tempfile::Builder::new().prefix("tidegate-restore-").tempdir()?;
    let artifacts = tidegate_artifacts::Store::open(&config.artifact_store, staging.path(), &config.s3);
    let artifacts = artifacts.map_err(unusable)?;
    let mut faulty = 0;
    for (sha256, size) in listed {
        let found = artifacts.size(&sha256.0).await.map_err(unusable)?;
        let fault = match found {
            Some(found) if found == *size => continue,
            Some(found) => format!("{sha256} has {found} bytes in the artifact store instead of {size}"),
            None => format!("{sha256} is not in the artifact store"),
        };
        faulty += 1;
        report.is_sound = false;
        if faulty <= MAX_FAULTS {
            report.lines.push(fault);
        }
    }
    report.lines.push(format!(
        "{} files are listed, {faulty} of them are missing or damaged in {}",
        listed.len(),
        config.artifact_store
    ));
    Ok(())
}
