//! The settings of an agent.

use tidegate_domain::{DeviceId, PackageName};

use crate::Error;
use crate::address::may_be_called;

/// What is said of an address that is plain HTTP.
pub(crate) const ONLY_HTTPS: &str = "must be https; http is for this machine alone, unless allow_http is set";

/// What an agent is told by its embedder: the server, the device, the package, and what the server may know about the
/// device. [`Config::new`] leaves out all that may be left out.
#[derive(Clone, Debug)]
pub struct Config {
    /// The server, such as `https://updates.example.com`.
    pub server: String,
    /// The device.
    pub device: DeviceId,
    /// The package that is kept up to date.
    pub package: PackageName,
    /// `Build.VERSION.SDK_INT`. Signatures are verified as this API level does.
    pub sdk: u32,
    /// `Build.MODEL`, for audiences.
    pub model: Option<String>,
    /// `Build.MANUFACTURER`, for audiences.
    pub manufacturer: Option<String>,
    /// `Build.VERSION.RELEASE`, such as `14`, for audiences.
    pub android: Option<String>,
    /// The region, for audiences.
    pub region: Option<String>,
    /// `Build.SUPPORTED_ABIS`, comma-separated, best first.
    pub abis: Option<String>,
    /// The IANA name of the time zone, such as `Europe/Berlin`. [`crate::Platform::zone`] wins over it.
    pub zone: Option<String>,
    /// Whether the device can poll every 30 minutes for some hours, also while it sleeps.
    pub dense: bool,
    /// The device's own labels, for audiences. None may be empty or contain a comma.
    pub tags: Vec<String>,
    /// Lets the server and the files be reached by plain HTTP, where anybody on the way reads the device's token. Without it
    /// plain HTTP is for this machine alone.
    pub allow_http: bool,
}

impl Config {
    /// A configuration without anything that may be left out.
    pub fn new(server: impl Into<String>, device: DeviceId, package: PackageName, sdk: u32) -> Self {
        Self {
            server: server.into(),
            device,
            package,
            sdk,
            model: None,
            manufacturer: None,
            android: None,
            region: None,
            abis: None,
            zone: None,
            dense: false,
            tags: vec![],
            allow_http: false,
        }
    }

    /// # Errors
    /// [`Error::Invalid`] with the setting's name.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let known = self.server.starts_with("http://") || self.server.starts_with("https://");
        if known && !may_be_called(&self.server, self.allow_http) {
            return Err(Error::invalid("server", ONLY_HTTPS));
        }
        if !known || !matches!(self.server.parse::<http::Uri>(), Ok(uri) if uri.query().is_none()) {
            return Err(Error::invalid(
                "server",
                "must be a URL such as https://updates.example.com",
            ));
        }
        if let Some(tag) = self.tags.iter().find(|tag| tag.is_empty() || tag.contains(',')) {
            let fault = format!("contains {tag:?}; a tag must not be empty or contain a comma");
            return Err(Error::invalid("tags", fault));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_cannot_be_used_is_refused_by_its_name() {
        let good = Config::new(
            "https://updates.example.com",
            "phone-1".parse().unwrap(),
            "com.example.app".parse().unwrap(),
            34,
        );
        assert!(good.check().is_ok());
        type Edit = fn(&mut Config);
        let bad: [(&str, Edit); 5] = [
            ("server", |config| {
                config.server = "http://updates.example.com".to_owned();
            }),
            ("server", |config| {
                config.server = "updates.example.com".to_owned();
            }),
            ("server", |config| config.server += "?fleet=1"),
            ("tags", |config| {
                config.tags = vec!["lab".to_owned(), String::new()];
            }),
            ("tags", |config| config.tags = vec!["lab,till".to_owned()]),
        ];
        let mut allowed = good.clone();
        allowed.server = "http://updates.example.com".to_owned();
        allowed.allow_http = true;
        assert!(allowed.check().is_ok());
        for (name, edit) in bad {
            let mut config = good.clone();
            edit(&mut config);
            assert!(matches!(config.check(), Err(Error::Invalid { what, .. }) if what == name));
        }
    }
}
