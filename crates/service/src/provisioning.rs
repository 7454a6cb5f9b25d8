//! What the setup of a fresh Android device reads from a QR code: the app to fetch and to make the device's owner, and what
//! that app is handed.
//!
//! Source: the extras of `android.app.admin.DevicePolicyManager`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tidegate_domain::{PackageName, SignerFingerprint};
use tidegate_signing::{ExposeSecret, SecretString};
use url::Url;

/// Android's names, from `android.app.admin.DevicePolicyManager`.
const COMPONENT: &str = "android.app.extra.PROVISIONING_DEVICE_ADMIN_COMPONENT_NAME";
const DOWNLOAD: &str = "android.app.extra.PROVISIONING_DEVICE_ADMIN_PACKAGE_DOWNLOAD_LOCATION";
const SIGNATURE: &str = "android.app.extra.PROVISIONING_DEVICE_ADMIN_SIGNATURE_CHECKSUM";
const EXTRAS: &str = "android.app.extra.PROVISIONING_ADMIN_EXTRAS_BUNDLE";

/// The app that a fresh device is to fetch and make its owner, and where that finds this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provisioning {
    /// The agent's device admin receiver, such as `com.example.agent/.Owner`.
    pub component: String,
    /// Where devices fetch the agent's APK, by https.
    pub apk_url: String,
    /// The certificate that the agent's APK is signed with.
    pub signer: SignerFingerprint,
    /// Where devices find this server.
    pub server: String,
}

impl Provisioning {
    /// What is wrong with a device admin receiver's name: it is a package and a class.
    ///
    /// # Errors
    /// The words that follow the name of the field.
    pub fn check_component(text: &str) -> Result<(), &'static str> {
        match text.split_once('/') {
            Some((package, class)) if PackageName::parse(package).is_ok() && !class.is_empty() => Ok(()),
            _ => Err("must be a package and a class, such as com.example.agent/.Owner"),
        }
    }

    /// What is wrong with an address that a fresh device is to trust.
    ///
    /// # Errors
    /// The words that follow the name of the field.
    pub fn check_https(text: &str) -> Result<(), &'static str> {
        match Url::parse(text) {
            Ok(url) if url.scheme() == "https" && url.has_host() => Ok(()),
            _ => Err("must begin with https:// and name a host"),
        }
    }

    /// What the QR code says, as JSON, with a token that the device enrols with.
    pub fn json(&self, token: &SecretString) -> String {
        let said = json!({
            COMPONENT: self.component,
            DOWNLOAD: self.apk_url,
            SIGNATURE: URL_SAFE_NO_PAD.encode(self.signer.0),
            EXTRAS: {
                "tidegate_server": self.server,
                "tidegate_enrollment_token": token.expose_secret(),
            },
        });
        said.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_a_package_and_a_class() {
        assert_eq!(Provisioning::check_component("com.example.agent/.Owner"), Ok(()));
        for wrong in ["", "com.example.agent", "com.example.agent/", "agent/.Owner"] {
            assert!(Provisioning::check_component(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_names_a_host_and_is_encrypted() {
        assert_eq!(Provisioning::check_https("https://example.com/a.apk"), Ok(()));
        for wrong in ["", "http://example.com/a.apk", "https://", "example.com"] {
            assert!(Provisioning::check_https(wrong).is_err(), "{wrong}");
        }
    }
}
