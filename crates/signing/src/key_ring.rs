//! The keys in use: one set of sub-keys for each master key that is accepted now.

use std::fmt;

use ring::{aead, hkdf, hmac};
use tidegate_domain::DeviceId;
use zeroize::Zeroizing;

use crate::mac::Mac;
use crate::record::aead_key;
use crate::{CommandKey, CommandKeys, MasterKey};

/// Binds the derivation to this product and to this way of deriving.
const SALT: &[u8] = b"tidegate key ring 1";

/// The keys of a server: derived from a primary master key, and from a second one while a rotation lasts.
///
/// The primary signs; both are accepted. To rotate without turning anybody away: first give every server the new
/// key as the second one, then swap the two, and drop the old one when the longest-lived token has expired or
/// been renewed. Agents learn the command keys of the moment when they enrol, and keep them; while a rotation lasts,
/// commands are signed with both keys, so that every agent knows one of them.
pub struct KeyRing {
    pub(crate) primary: Keys,
    pub(crate) rotation: Option<Keys>,
    shared_commands: Option<CommandKeys>,
}

/// The sub-keys of one master key.
pub(crate) struct Keys {
    pub(crate) device_token: Mac,
    pub(crate) download_url: Mac,
    pub(crate) offer: Mac,
    pub(crate) browser: Mac,
    pub(crate) admin_jwt: Mac,
    erased_device: Mac,
    pub(crate) record: aead::LessSafeKey,
    /// Names the master key without telling it.
    pub(crate) name: String,
    command: hkdf::Prk,
    command_of_generation: hkdf::Prk,
}

impl Keys {
    fn derive(master: &MasterKey) -> Self {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(master.bytes());
        Self {
            device_token: expand(&root, &[b"device-token"], hmac::HMAC_SHA256).into(),
            download_url: expand(&root, &[b"download-url"], hmac::HMAC_SHA256).into(),
            offer: expand(&root, &[b"offer"], hmac::HMAC_SHA256).into(),
            browser: expand(&root, &[b"browser"], hmac::HMAC_SHA256).into(),
            admin_jwt: expand(&root, &[b"admin-jwt"], hmac::HMAC_SHA256).into(),
            erased_device: expand(&root, &[b"erased-device"], hmac::HMAC_SHA256).into(),
            record: aead_key(expand(&root, &[b"record"], &aead::AES_256_GCM)),
            name: name(&root),
            command: expand(&root, &[b"command"], hkdf::HKDF_SHA256).into(),
            command_of_generation: expand(&root, &[b"command-of-generation"], hkdf::HKDF_SHA256).into(),
        }
    }

    /// The key of a device in a generation; in generation 0 the one that depends on the device alone.
    fn command_key(&self, device: &DeviceId, generation: u32) -> CommandKey {
        let device = device.as_str().as_bytes();
        if generation == 0 {
            return derive(&self.command, &[b"command", device]);
        }
        derive(&self.command_of_generation, &[&generation.to_be_bytes(), device])
    }
}

fn derive(prk: &hkdf::Prk, info: &[&[u8]]) -> CommandKey {
    let mut bytes = Zeroizing::new([0; 32]);
    expand(prk, info, hkdf::HKDF_SHA256)
        .fill(&mut *bytes)
        .expect("HKDF-SHA256 fills 32 bytes");
    CommandKey::from_bytes(&bytes)
}

/// Eight bytes in hex: enough to tell master keys apart, and none of their own.
fn name(root: &hkdf::Prk) -> String {
    let mut bytes = [0; 32];
    expand(root, &[b"name"], hkdf::HKDF_SHA256)
        .fill(&mut bytes)
        .expect("HKDF-SHA256 fills 32 bytes");
    bytes[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// HKDF's second step. It fails only for more than 255 hashes of output; we take one.
fn expand<'a, L: hkdf::KeyType>(prk: &'a hkdf::Prk, info: &'a [&'a [u8]], length: L) -> hkdf::Okm<'a, L> {
    prk.expand(info, length)
        .expect("one hash of output is within HKDF's limit")
}

impl KeyRing {
    /// Derives the keys. `rotation` is the previous key or the next one.
    pub fn new(primary: &MasterKey, rotation: Option<&MasterKey>) -> Self {
        Self {
            primary: Keys::derive(primary),
            rotation: rotation.map(Keys::derive),
            shared_commands: None,
        }
    }

    /// Signs the commands for all devices with one key, for fleets whose agents were built with it. Whoever takes
    /// that key from one device can command all others; keys derived for each device do not have this fault.
    #[must_use]
    pub fn with_shared_command_keys(mut self, keys: CommandKeys) -> Self {
        self.shared_commands = Some(keys);
        self
    }

    /// The keys with which commands to this device are signed; also what the device is given when it enrols.
    ///
    /// `generation` is that of the enrolment which gave the keys, so that who takes a device's id over learns nothing of
    /// the keys before. It is 0 for devices that enrolled when keys depended on the device alone: they keep those.
    pub fn command_keys(&self, device: &DeviceId, generation: u32) -> CommandKeys {
        if let Some(shared) = &self.shared_commands {
            return shared.clone();
        }
        CommandKeys {
            primary: self.primary.command_key(device, generation),
            rotation: self
                .rotation
                .as_ref()
                .map(|keys| keys.command_key(device, generation)),
        }
    }

    /// By what an id is known after the device was erased: a tag for each master key. Without the key nobody can tell
    /// from it which id it was, and a token that the key signed can still be refused. When a key is dropped, the tokens
    /// that it signed end with it.
    pub fn erased_tags(&self, device: &str) -> Vec<[u8; 32]> {
        let keys = std::iter::once(&self.primary).chain(&self.rotation);
        keys.map(|keys| keys.erased_device.tag(&[device.as_bytes()]))
            .collect()
    }

    /// The key sets, the primary first.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Keys> {
        [Some(&self.primary), self.rotation.as_ref()]
            .into_iter()
            .flatten()
    }

    /// Whether one of the key sets passes the check.
    pub(crate) fn any(&self, check: impl Fn(&Keys) -> bool) -> bool {
        check(&self.primary) || self.rotation.as_ref().is_some_and(check)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("rotating", &self.rotation.is_some())
            .field("shared_commands", &self.shared_commands.is_some())
            .finish_non_exhaustive()
    }
}
