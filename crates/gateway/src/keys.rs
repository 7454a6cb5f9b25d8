//! The keys of this server: from the settings, or from a file that is made at the first start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tidegate_signing::{ExposeSecret, KeyRing, MasterKey};

use crate::{Config, Error};

/// The key file's name in the data folder.
pub const KEY_FILE: &str = "master.key";

/// The largest key file, in bytes.
const MAX_KEY_FILE_BYTES: u64 = 1024;

/// Makes the key ring. The data folder must exist.
///
/// # Errors
/// [`Error::File`] when the key file cannot be read or made, [`Error::Unusable`] when it holds no key.
pub(crate) fn key_ring(config: &Config) -> Result<KeyRing, Error> {
    let master = master_key(config)?;
    let ring = KeyRing::new(&master, config.rotation_key.as_ref());
    Ok(match &config.command_keys {
        Some(shared) => ring.with_shared_command_keys(shared.clone()),
        None => ring,
    })
}

/// The master key of the settings, or of the file in the data folder, which is made where there is none.
///
/// # Errors
/// As [`key_ring`].
pub(crate) fn master_key(config: &Config) -> Result<MasterKey, Error> {
    match (&config.master_key, &config.master_key_file) {
        (Some(key), _) => Ok(key.clone()),
        (None, Some(path)) => read(path, "master_key_file"),
        (None, None) => from_folder(&config.data_dir),
    }
}

/// The key file that a first start would make.
pub(crate) fn missing(config: &Config) -> Option<PathBuf> {
    let path = config.data_dir.join(KEY_FILE);
    let is_given = config.master_key.is_some() || config.master_key_file.is_some();
    (!is_given && !path.exists()).then_some(path)
}

/// Creates the data folder, for nobody else to look into.
///
/// # Errors
/// [`Error::File`].
pub(crate) fn create_folder(path: &Path) -> Result<(), Error> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(Error::file(path))
}

fn from_folder(folder: &Path) -> Result<MasterKey, Error> {
    let path = folder.join(KEY_FILE);
    match read(&path, "master_key") {
        Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => make(&path),
        other => other,
    }
}

/// Reads a key file.
///
/// # Errors
/// As [`key_ring`].
pub(crate) fn read(path: &Path, setting: &'static str) -> Result<MasterKey, Error> {
    let file = File::open(path).map_err(Error::file(path))?;
    check_mode(&file, path, setting)?;
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(file, MAX_KEY_FILE_BYTES), &mut text)
        .map_err(Error::file(path))?;
    MasterKey::from_text(&text).map_err(|fault| Error::Unusable {
        setting,
        fault: format!(
            "the file {} is damaged: {fault}; restore it from a backup",
            path.display()
        ),
    })
}

/// Writes the key to another file and links that to its name, which fails when the name exists. So of two processes that
/// start at once, one makes the key and both use it, and a crash leaves a whole key or none.
fn make(path: &Path) -> Result<MasterKey, Error> {
    let key = MasterKey::generate().map_err(|fault| Error::unusable("master_key")(&fault))?;
    let beside = beside(path);
    let made =
        write_secret(&beside, key.to_text().expose_secret()).and_then(|()| fs::hard_link(&beside, path));
    // The other file is not needed any more, whether it was linked or not.
    let _ = fs::remove_file(&beside);
    match made {
        Ok(()) => {
            sync_folder(path)?;
            tracing::warn!(
                event = "ota.key.generated",
                path = %path.display(),
                "made a master key, because master_key is not set; keep a copy: every token depends on it"
            );
            Ok(key)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read(path, "master_key"),
        Err(error) => Err(Error::file(path)(error)),
    }
}

fn beside(path: &Path) -> PathBuf {
    path.with_extension(format!(
        "key.{}.{:?}",
        std::process::id(),
        std::thread::current().id()
    ))
}

/// Writes a file that only its owner may read, down to the disk.
pub(crate) fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

fn sync_folder(path: &Path) -> Result<(), Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(Error::file(folder))
}

/// Refuses a key that others on this machine may read or write. Where the platform sets the mode, below `/run/secrets`
/// and in systemd's `$CREDENTIALS_DIRECTORY`, it warns.
#[cfg(unix)]
fn check_mode(file: &File, path: &Path, setting: &'static str) -> Result<(), Error> {
    use std::os::unix::fs::MetadataExt;
    let mode = file.metadata().map_err(Error::file(path))?.mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let words = format!(
        "the file {} has the mode {mode:03o}, with which others on this machine may use the master key",
        path.display()
    );
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    if is_platforms(path, credentials.as_deref()) {
        tracing::warn!("{words}");
        return Ok(());
    }
    Err(Error::unusable(setting)(&format!("{words}; chmod 600 it")))
}

#[cfg(not(unix))]
fn check_mode(_: &File, _: &Path, _: &'static str) -> Result<(), Error> {
    Ok(())
}

/// Whether a file lies where the platform puts secrets. Links are followed: one that leads elsewhere is not the
/// platform's.
#[cfg(unix)]
fn is_platforms(path: &Path, credentials: Option<&Path>) -> bool {
    let Ok(path) = path.canonicalize() else {
        return false;
    };
    let folders = [Some(Path::new("/run/secrets")), credentials];
    let folders = folders.into_iter().flatten();
    folders
        .filter_map(|folder| folder.canonicalize().ok())
        .any(|folder| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = from_folder(folder.path()).unwrap();
        let second = from_folder(folder.path()).unwrap();
        assert_eq!(first.to_text().expose_secret(), second.to_text().expose_secret());
        let files: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|file| file.unwrap().file_name())
            .collect();
        assert_eq!(files, [KEY_FILE]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let mode = fs::metadata(folder.path().join(KEY_FILE)).unwrap().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_read_is_refused_but_where_the_platform_put_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write_secret(&path, MasterKey::generate().unwrap().to_text().expose_secret()).unwrap();
        assert!(read(&path, "master_key_file").is_ok());
        for mode in [0o640, 0o604, 0o444, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let message = read(&path, "master_key_file").unwrap_err().to_string();
            assert!(
                message.starts_with("master_key_file: ") && message.ends_with("chmod 600 it"),
                "{message}"
            );
        }
        assert!(is_platforms(&path, Some(folder.path())));
        assert!(!is_platforms(&path, None));
        let elsewhere = tempfile::tempdir().unwrap();
        assert!(!is_platforms(&path, Some(elsewhere.path())));
    }

    #[test]
    fn processes_that_start_at_once_use_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let texts: Vec<String> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| from_folder(folder.path()).unwrap()))
                .collect();
            let keys = starts.into_iter().map(|start| start.join().unwrap());
            keys.map(|key| key.to_text().expose_secret().to_owned()).collect()
        });
        assert!(texts.iter().all(|text| *text == texts[0]));
    }

    #[test]
    fn a_damaged_key_file_stops_the_start_and_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(KEY_FILE);
        write_secret(&path, "not a key at all").unwrap();
        let message = from_folder(folder.path()).unwrap_err().to_string();
        assert!(
            message.contains("master.key is damaged") && !message.contains("not a key at all"),
            "{message}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "not a key at all\n");
    }
}
