//! Browsers that logged in before.
//!
//! Whoever logs in leaves a token in the browser. It lets nobody in; it only tells that a person who knew this name's
//! password has used the browser, so that strangers who guess at the name do not lock its owner out.
//!
//! `tgb1.<base64url(end ‖ id)>.<base64url(tag)>`, the end in seconds since 1970 as eight bytes, big-endian, a random id of
//! sixteen bytes, and the tag an HMAC-SHA256 over exactly those decoded bytes and the name of the user.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;

use crate::mac::{tag_from_text, to_text};
use crate::master_key::fill;
use crate::{Error, KeyRing};

const PREFIX: &str = "tgb1.";
const END_BYTES: usize = 8;
const ID_BYTES: usize = 16;

/// How long a browser is known after a login, in days.
pub const BROWSER_DAYS: i64 = 180;

/// A browser, told apart from others.
pub type BrowserId = [u8; ID_BYTES];

impl KeyRing {
    /// A token for the browser in which this user has logged in.
    ///
    /// # Errors
    /// [`Error::NoRandomness`].
    pub fn browser_token(&self, user: &str, now: DateTime<Utc>) -> Result<SecretString, Error> {
        let end = now + TimeDelta::days(BROWSER_DAYS);
        let mut payload = [0; END_BYTES + ID_BYTES];
        payload[..END_BYTES].copy_from_slice(&end.timestamp().to_be_bytes());
        fill(&mut payload[END_BYTES..])?;
        let tag = self.primary.browser.tag(&[&payload, user.as_bytes()]);
        let text = format!("{PREFIX}{}.{}", to_text(&payload), to_text(&tag));
        Ok(SecretString::from(text))
    }

    /// The browser that a token names, where the token is ours, was made for this user and still holds.
    pub fn known_browser(&self, token: &str, user: &str, now: DateTime<Utc>) -> Option<BrowserId> {
        let (payload, tag) = token.strip_prefix(PREFIX)?.split_once('.')?;
        let tag = tag_from_text(tag)?;
        let mut bytes = [0; END_BYTES + ID_BYTES];
        let written = URL_SAFE_NO_PAD.decode_slice(payload, &mut bytes).ok()?;
        let is_ours =
            written == bytes.len() && self.any(|keys| keys.browser.verify(&[&bytes, user.as_bytes()], &tag));
        let (end, id) = bytes.split_first_chunk::<END_BYTES>()?;
        let holds = now.timestamp() < i64::from_be_bytes(*end);
        id.try_into().ok().filter(|_| is_ours && holds)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::MasterKey;

    #[test]
    fn a_browser_is_known_to_one_user_for_a_while() {
        let ring = KeyRing::new(&MasterKey::generate().unwrap(), None);
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let token = ring.browser_token("olga", now).unwrap();
        let token = token.expose_secret();
        let id = ring.known_browser(token, "olga", now).unwrap();
        let other = ring.browser_token("olga", now).unwrap();
        assert_ne!(ring.known_browser(other.expose_secret(), "olga", now), Some(id));

        let last = now + TimeDelta::days(BROWSER_DAYS) - TimeDelta::seconds(1);
        assert_eq!(ring.known_browser(token, "olga", last), Some(id));
        assert_eq!(
            ring.known_browser(token, "olga", last + TimeDelta::seconds(1)),
            None
        );
        assert_eq!(ring.known_browser(token, "omar", now), None);
        let foreign = KeyRing::new(&MasterKey::generate().unwrap(), None);
        assert_eq!(foreign.known_browser(token, "olga", now), None);
    }

    #[test]
    fn an_altered_token_is_nobodys() {
        let ring = KeyRing::new(&MasterKey::generate().unwrap(), None);
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let token = ring
            .browser_token("olga", now)
            .unwrap()
            .expose_secret()
            .to_owned();
        for at in 0..token.len() {
            let mut altered = token.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert_eq!(ring.known_browser(&altered, "olga", now), None, "{altered}");
        }
        for text in ["", "tgb1.", "tgb1..", &token[..token.len() - 1]] {
            assert_eq!(ring.known_browser(text, "olga", now), None, "{text}");
        }
    }
}
