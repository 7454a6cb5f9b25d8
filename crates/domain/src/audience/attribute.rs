//! What an audience may ask about a device.

use std::fmt::Write as _;

use super::Subject;

/// An attribute of a device, by its name in an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribute {
    Model,
    Manufacturer,
    Region,
    Android,
    Sdk,
    Version,
    Abi,
    Tags,
    DeviceTags,
}

/// What an attribute's value is.
#[cfg(feature = "expressions")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    List,
}

impl Attribute {
    #[cfg(feature = "expressions")]
    pub(super) const ALL: [Self; 9] = [
        Self::Model,
        Self::Manufacturer,
        Self::Region,
        Self::Android,
        Self::Sdk,
        Self::Version,
        Self::Abi,
        Self::Tags,
        Self::DeviceTags,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Manufacturer => "manufacturer",
            Self::Region => "region",
            Self::Android => "android",
            Self::Sdk => "sdk",
            Self::Version => "version",
            Self::Abi => "abi",
            Self::Tags => "tags",
            Self::DeviceTags => "device_tags",
        }
    }

    #[cfg(feature = "expressions")]
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }

    #[cfg(feature = "expressions")]
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Model | Self::Manufacturer | Self::Region | Self::Android => Kind::Text,
            Self::Sdk | Self::Version => Kind::Number,
            Self::Abi | Self::Tags | Self::DeviceTags => Kind::List,
        }
    }

    /// The device's text; `None` when it does not state it, or when the attribute is no text.
    pub(super) fn text<'a>(self, subject: &Subject<'a>) -> Option<&'a str> {
        let facts = subject.facts;
        match self {
            Self::Model => facts.model.as_deref(),
            Self::Manufacturer => facts.manufacturer.as_deref(),
            Self::Region => facts.region.as_deref(),
            Self::Android => facts.android.as_deref(),
            Self::Sdk | Self::Version | Self::Abi | Self::Tags | Self::DeviceTags => None,
        }
    }

    /// The same of numbers.
    pub(super) fn number(self, subject: &Subject<'_>) -> Option<i64> {
        match self {
            Self::Sdk => subject.facts.sdk.map(i64::from),
            Self::Version => Some(subject.installed.get()),
            _ => None,
        }
    }

    /// Whether the device's list has this entry; `None` when it does not state the list.
    pub(super) fn lists(self, subject: &Subject<'_>, entry: &str) -> Option<bool> {
        match self {
            Self::Abi => {
                let abis = subject.facts.abis.as_deref()?;
                Some(entries(abis).any(|abi| abi == entry))
            }
            Self::Tags => Some(subject.tags.iter().any(|tag| tag.as_str() == entry)),
            Self::DeviceTags => {
                let tags = subject.facts.tags.as_deref()?;
                Some(entries(tags).any(|tag| tag == entry))
            }
            _ => None,
        }
    }

    /// Whether the device states it.
    pub(super) fn is_stated(self, subject: &Subject<'_>) -> bool {
        match self {
            Self::Abi => subject.facts.abis.is_some(),
            Self::Tags => true,
            Self::DeviceTags => subject.facts.tags.is_some(),
            Self::Sdk | Self::Version => self.number(subject).is_some(),
            _ => self.text(subject).is_some(),
        }
    }

    /// The value as people read it; `None` when the device does not state it.
    pub(super) fn shown(self, subject: &Subject<'_>) -> Option<String> {
        match self {
            Self::Abi => subject.facts.abis.as_deref().map(joined),
            Self::DeviceTags => subject.facts.tags.as_deref().map(joined),
            Self::Tags => {
                let mut all = String::new();
                for tag in subject.tags {
                    let comma = if all.is_empty() { "" } else { ", " };
                    let _ = write!(all, "{comma}{tag}");
                }
                Some(all)
            }
            Self::Sdk | Self::Version => self.number(subject).map(|number| number.to_string()),
            _ => self.text(subject).map(str::to_owned),
        }
    }
}

/// The entries of a list that a device sends as one text.
fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

fn joined(list: &str) -> String {
    let entries: Vec<&str> = entries(list).collect();
    entries.join(", ")
}
