//! The poll's query.

use std::borrow::Cow;

use tidegate_domain::{DeviceFacts, MAX_PATCH_FORMATS_BYTES, PATCH_FORMAT, PackageName, Sha256, VersionCode};
use tidegate_service::Error;

use crate::verbs::devices::current_version;

/// The poll's query, read in one pass that copies only what was escaped. The last of a repeated parameter counts.
#[derive(Default)]
pub(super) struct PollQuery<'a> {
    pub device_id: Option<Cow<'a, str>>,
    pub package: Option<Cow<'a, str>>,
    pub installed: Option<VersionCode>,
    pub facts: DeviceFacts<'a>,
    pub crashes: Option<u32>,
    pub fetched: Option<Sha256>,
    pub takes_patches: bool,
}

impl<'a> PollQuery<'a> {
    pub(super) fn parse(query: &'a str) -> Result<Self, Error> {
        let mut poll = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            poll.take(&plain(name), plain(value))?;
        }
        Ok(poll)
    }

    fn take(&mut self, name: &str, value: Cow<'a, str>) -> Result<(), Error> {
        let facts = &mut self.facts;
        match name {
            "device_id" => self.device_id = Some(value),
            "package_name" => {
                PackageName::check(&value)?;
                self.package = Some(value);
            }
            "current_version_code" => {
                let code = value
                    .parse()
                    .map_err(|_| Error::invalid("current_version_code", "must be a whole number"))?;
                self.installed = Some(current_version(code)?);
            }
            "sdk" => facts.sdk = Some(number("sdk", &value, "must be an API level such as 34")?),
            "model" => facts.model = Some(value),
            "manufacturer" => facts.manufacturer = Some(value),
            "region" => facts.region = Some(value),
            "android" => facts.android = Some(value),
            "abi" => facts.abis = Some(value),
            "tags" => facts.tags = Some(value),
            "zone" => facts.zone = Some(value),
            "protocol" => facts.protocol = number("protocol", &value, "must be a number such as 2")?,
            "dense" => facts.dense = value == "1",
            // A hint: one that can't be read is none.
            "fetched" => self.fetched = Sha256::parse(&value).ok(),
            "patches" => self.takes_patches = names_patches(&value)?,
            "crashes" => self.crashes = Some(number("crashes", &value, "must be a number")?),
            _ => {}
        }
        Ok(())
    }
}

/// Whether our format is among those of the list.
fn names_patches(formats: &str) -> Result<bool, Error> {
    if formats.len() > MAX_PATCH_FORMATS_BYTES {
        let fault = format!("is longer than {MAX_PATCH_FORMATS_BYTES} bytes");
        return Err(Error::invalid("patches", fault));
    }
    Ok(formats.split(',').any(|format| format == PATCH_FORMAT))
}

/// A name or a value without its escapes. Most have none, and are taken as they stand.
///
/// Source: <https://url.spec.whatwg.org/#urlencoded-parsing>
fn plain(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    // The separator can't be in `text`, so it is read as one name without a value; one that begins with `=` would not be.
    form_urlencoded::parse(text.replace('=', "%3D").as_bytes())
        .next()
        .map_or(Cow::Borrowed(""), |(name, _)| Cow::Owned(name.into_owned()))
}

fn number(field: &'static str, text: &str, fault: &'static str) -> Result<u32, Error> {
    text.parse().map_err(|_| Error::invalid(field, fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that a query says of itself, as this reader and the standard's have it.
    fn pairs(query: &str) -> [Vec<(String, String)>; 2] {
        let ours = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (plain(name).into_owned(), plain(value).into_owned())
        });
        let theirs = form_urlencoded::parse(query.as_bytes()).into_owned();
        [ours.collect(), theirs.collect()]
    }

    #[test]
    fn a_query_is_read_as_forms_are() {
        let queries = [
            "",
            "&&",
            "a",
            "a=",
            "=b",
            "a=b=c",
            "a=%3D=c&b",
            "model=Pixel+8%20Pro&zone=Europe%2FBerlin",
            "a=%&b=%2&c=%zz&d=%C3%A4&e=%ff",
            "%61=b&+=+",
            "a=b&a=c&&d=e&",
            "=%3D&%26=%26",
        ];
        for query in queries {
            let [ours, theirs] = pairs(query);
            assert_eq!(ours, theirs, "{query}");
        }
    }

    #[test]
    fn the_last_of_a_repeated_parameter_counts() {
        let poll = PollQuery::parse("device_id=a&device_id=b%2Dc&unknown=1").unwrap();
        assert_eq!(poll.device_id.as_deref(), Some("b-c"));
    }

    #[test]
    fn what_needs_no_escape_is_not_copied() {
        let poll = PollQuery::parse("device_id=train-7&model=Pixel+8").unwrap();
        assert!(matches!(poll.device_id, Some(Cow::Borrowed("train-7"))));
        assert!(matches!(poll.facts.model, Some(Cow::Owned(model)) if model == "Pixel 8"));
    }
}
