//! The keys that commands are signed with.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::Error;
use crate::mac::Mac;

/// The fewest bytes of a command key that an operator brings along. Derived ones have 64.
pub const MIN_COMMAND_KEY_BYTES: usize = 8;

/// The most bytes of a command key that an operator brings along.
pub const MAX_COMMAND_KEY_BYTES: usize = 256;

/// One key for commands. Agents are handed it as a string, and the string's UTF-8 bytes are the HMAC key: that is
/// what those in the field do, whether or not the string looks like an encoding of something.
#[derive(Clone)]
pub struct CommandKey {
    text: SecretString,
    mac: Mac,
}

impl CommandKey {
    /// Takes a key that exists already.
    ///
    /// # Errors
    /// [`Error::Invalid`] with `command_key` for fewer than [`MIN_COMMAND_KEY_BYTES`] or more than
    /// [`MAX_COMMAND_KEY_BYTES`].
    pub fn from_text(text: &str) -> Result<Self, Error> {
        if !(MIN_COMMAND_KEY_BYTES..=MAX_COMMAND_KEY_BYTES).contains(&text.len()) {
            let fault = format!("must have {MIN_COMMAND_KEY_BYTES} to {MAX_COMMAND_KEY_BYTES} bytes");
            return Err(Error::invalid("command_key", fault));
        }
        Ok(Self::new(text.into()))
    }

    /// A derived key, handed out as 64 hex digits.
    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self::new(std::str::from_utf8(&*hex(bytes)).unwrap_or_default().into())
    }

    fn new(text: SecretString) -> Self {
        let mac = Mac::new(text.expose_secret().as_bytes());
        Self { text, mac }
    }

    /// The key as its agent is handed it.
    pub fn text(&self) -> &SecretString {
        &self.text
    }

    /// The tag over the parts, in the lower-case hex digits that agents expect.
    pub(crate) fn hex_tag(&self, parts: &[&[u8]]) -> Zeroizing<[u8; 64]> {
        hex(&self.mac.tag(parts))
    }
}

/// The digits are wiped like the bytes they spell, which may be a key.
fn hex(bytes: &[u8; 32]) -> Zeroizing<[u8; 64]> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = Zeroizing::new([0; 64]);
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    digits
}

impl fmt::Debug for CommandKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CommandKey(…)")
    }
}

/// The keys of one agent: it tries the primary, then the rotation key.
#[derive(Clone, Debug)]
pub struct CommandKeys {
    /// Signs.
    pub primary: CommandKey,
    /// Is accepted beside it, while a rotation lasts.
    pub rotation: Option<CommandKey>,
}

impl CommandKeys {
    /// A single key.
    pub fn one(primary: CommandKey) -> Self {
        Self {
            primary,
            rotation: None,
        }
    }

    /// Both keys, the primary first.
    pub fn iter(&self) -> impl Iterator<Item = &CommandKey> {
        std::iter::once(&self.primary).chain(&self.rotation)
    }
}
