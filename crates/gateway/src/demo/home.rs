//! What the demo remembers from one start to the next, beside the server's own data.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tidegate_apk::build::SigningKey;
use tidegate_signing::{ExposeSecret, MasterKey};

use crate::Error;
use crate::keys::write_secret;

/// The file's name in the demo's folder.
const FILE: &str = "demo.json";

/// How many characters the generated password has: 120 random bits.
const PASSWORD_CHARACTERS: usize = 20;

/// The demo's own secrets. Only the file's owner may read them, although they protect no more than a demo.
pub(super) struct Home {
    path: PathBuf,
    kept: Kept,
    signing_key: SigningKey,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    password: String,
    /// The key that signs the sample builds, so that a later build has the signer of the first.
    signing_key: Vec<u8>,
    certificate: Vec<u8>,
}

impl Home {
    /// Reads the file, or makes it at the first start.
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => Self::read(path, &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(path),
            Err(error) => Err(Error::file(&path)(error)),
        }
    }

    fn read(path: PathBuf, bytes: &[u8]) -> Result<Self, Error> {
        let damaged = |fault: String| {
            let place = path.display();
            Error::Demo(format!(
                "{place} cannot be read ({fault}); remove its folder to begin anew"
            ))
        };
        let kept: Kept = serde_json::from_slice(bytes).map_err(|fault| damaged(fault.to_string()))?;
        let signing_key = SigningKey::from_der(&kept.signing_key, &kept.certificate)
            .map_err(|fault| damaged(fault.to_string()))?;
        Ok(Self {
            path,
            kept,
            signing_key,
        })
    }

    fn make(path: PathBuf) -> Result<Self, Error> {
        let signing_key =
            SigningKey::generate("Tidepool sample").map_err(|fault| Error::Demo(fault.to_string()))?;
        let random = MasterKey::generate().map_err(|fault| Error::Demo(fault.to_string()))?;
        let password = random
            .to_text()
            .expose_secret()
            .chars()
            .take(PASSWORD_CHARACTERS)
            .collect();
        let home = Self {
            kept: Kept {
                password,
                signing_key: signing_key.pkcs8().to_vec(),
                certificate: signing_key.certificate_der().to_vec(),
            },
            path,
            signing_key,
        };
        home.write()?;
        Ok(home)
    }

    fn write(&self) -> Result<(), Error> {
        let text = serde_json::to_string(&self.kept).map_err(|fault| Error::Demo(fault.to_string()))?;
        let beside = self.path.with_extension("json.new");
        write_secret(&beside, &text)
            .and_then(|()| fs::rename(&beside, &self.path))
            .map_err(Error::file(&self.path))
    }

    /// The password of the guide's login.
    pub(super) fn password(&self) -> &str {
        &self.kept.password
    }

    /// The key that signs the sample builds.
    pub(super) fn signing_key(&self) -> &SigningKey {
        &self.signing_key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_start_signs_with_the_same_key_and_tells_the_same_password() {
        let folder = tempfile::tempdir().unwrap();
        let first = Home::open(folder.path()).unwrap();
        let second = Home::open(folder.path()).unwrap();
        assert_eq!(first.password(), second.password());
        assert_eq!(first.password().len(), PASSWORD_CHARACTERS);
        assert_eq!(
            first.signing_key().fingerprint(),
            second.signing_key().fingerprint()
        );
    }

    #[test]
    fn a_damaged_file_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "{").unwrap();
        let Err(error) = Home::open(folder.path()) else {
            panic!("a damaged file was read");
        };
        assert!(error.to_string().contains("remove its folder"), "{error}");
    }
}
