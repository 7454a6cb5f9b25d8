//! The filter of the devices' list, as it stands in the page's address.

use std::ops::RangeInclusive;

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::{BuildId, PackageName, SdkLevel, Tag, VersionCode};
use tidegate_service::{DeviceFilter, DeviceQuery, Error};

use super::conditions;
use crate::form::Fields;
use crate::show;

/// The fields of a filter in the address, in the order in which chips show them, with their names on the page. The sort
/// and the page are none of them.
const FIELDS: [(&str, &str); 17] = [
    ("search", "Id or alias holds"),
    ("package_name", "Package"),
    ("state", "State"),
    ("min_version", "Version from"),
    ("max_version", "Version to"),
    ("model", "Model"),
    ("manufacturer", "Manufacturer"),
    ("min_sdk", "API level from"),
    ("max_sdk", "API level to"),
    ("region", "Region"),
    ("tag", "Tag"),
    ("seen", "Last seen"),
    ("reason", "Reason"),
    ("fate", "Failure"),
    ("build_id", "Failed with build"),
    ("can_be_nudged", "Can be nudged"),
    ("overdue", "Overdue with rollout"),
];

/// When devices were last seen, by the words in the address and on the page: within so many hours, or not.
pub(crate) const SEEN: [(&str, &str, i64, bool); 6] = [
    ("1h", "within an hour", 1, true),
    ("24h", "within a day", 24, true),
    ("7d", "within a week", 168, true),
    ("not_24h", "not for a day", 24, false),
    ("not_7d", "not for a week", 168, false),
    ("not_30d", "not for 30 days", 720, false),
];

/// What became of devices that failed, by the words in the address and on the page.
pub(crate) const FATES: [(&str, &str); 3] = [
    ("failing", "still failing"),
    ("given_up", "given up"),
    ("recovered", "recovered"),
];

/// A filter as it was typed.
pub(crate) struct Typed {
    fields: Vec<(&'static str, String)>,
    pub(crate) sort: String,
    pub(crate) descending: bool,
}

/// One part of the filter that is set, and the address without it.
pub(crate) struct Chip {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) without: String,
}

impl Typed {
    pub(crate) fn of(fields: &Fields) -> Self {
        Self {
            fields: FIELDS
                .iter()
                .map(|(name, _)| (*name, fields.text(name).to_owned()))
                .collect(),
            sort: fields.text("sort").to_owned(),
            descending: fields.text("descending") == "true",
        }
    }

    /// What was typed into a field.
    pub(crate) fn text(&self, name: &str) -> &str {
        let field = self.fields.iter().find(|(field, _)| *field == name);
        field.map_or("", |(_, value)| value.as_str())
    }

    pub(crate) fn is(&self, name: &str, value: &str) -> bool {
        self.text(name) == value
    }

    /// Whether the reason is one that has no words, as agents of others may send.
    pub(crate) fn has_own_reason(&self) -> bool {
        let typed = self.text("reason");
        !typed.is_empty()
            && super::reason_words::reasons()
                .iter()
                .all(|(known, _)| *known != typed)
    }

    /// The fields that are set, for forms that carry the filter along.
    pub(crate) fn set(&self) -> impl Iterator<Item = &(&'static str, String)> {
        self.fields.iter().filter(|(_, value)| !value.is_empty())
    }

    /// Whether a field beyond those that are always shown is set.
    pub(crate) fn has_more(&self) -> bool {
        self.set()
            .any(|(name, _)| !["search", "package_name", "state"].contains(name))
    }

    fn order(&self) -> [(&str, &str); 2] {
        let descending = if self.descending { "true" } else { "" };
        [("sort", self.sort.as_str()), ("descending", descending)]
    }

    /// The query of the same filter, with more of it.
    pub(crate) fn query(&self, more: &[(&str, &str)]) -> String {
        let mut pairs: Vec<(&str, &str)> = self.set().map(|(name, value)| (*name, value.as_str())).collect();
        pairs.extend(self.order());
        pairs.extend(more);
        show::query(&pairs)
    }

    /// The address of the list sorted by this: the other way round where it is sorted by it already.
    pub(crate) fn sorted_by(&self, sort: &str) -> String {
        let falls_first = sort != "id";
        let descending = if self.sort == sort {
            !self.descending
        } else {
            falls_first
        };
        let mut pairs: Vec<(&str, &str)> = self.set().map(|(name, value)| (*name, value.as_str())).collect();
        pairs.extend([
            ("sort", sort),
            ("descending", if descending { "true" } else { "" }),
        ]);
        format!("/devices{}", show::query(&pairs))
    }

    /// The word of a column that the list may be sorted by, for `aria-sort`.
    pub(crate) fn aria_sort(&self, sort: &str) -> &'static str {
        match (self.sort == sort, self.descending) {
            (false, _) => "none",
            (true, false) => "ascending",
            (true, true) => "descending",
        }
    }

    pub(crate) fn chips(&self) -> Vec<Chip> {
        let chip = |(field, value): &(&'static str, String)| {
            let others = self.set().filter(|(name, _)| name != field);
            let mut pairs: Vec<(&str, &str)> = others.map(|(name, value)| (*name, value.as_str())).collect();
            pairs.extend(self.order());
            Chip {
                name: FIELDS
                    .iter()
                    .find(|(name, _)| name == field)
                    .map_or("", |(_, words)| *words),
                value: words(field, value),
                without: format!("/devices{}", show::query(&pairs)),
            }
        };
        self.set().map(chip).collect()
    }

    /// What is asked, checked.
    pub(crate) fn parse(&self, now: DateTime<Utc>) -> Result<DeviceQuery, Error> {
        let given = |name: &str| Some(self.text(name).to_owned()).filter(|text| !text.is_empty());
        let filter = DeviceFilter {
            search: given("search"),
            package: given("package_name")
                .map(|name| PackageName::parse(&name))
                .transpose()?,
            versions: self.versions()?,
            model: given("model"),
            manufacturer: given("manufacturer"),
            region: given("region"),
            sdk: self.levels()?,
            tag: given("tag").map(|tag| Tag::parse(&tag)).transpose()?,
            can_be_nudged: match self.text("can_be_nudged") {
                "" => None,
                "true" => Some(true),
                "false" => Some(false),
                _ => return Err(Error::invalid("can_be_nudged", "must be true or false")),
            },
            overdue: self
                .number("overdue")?
                .map(|rollout| (tidegate_domain::RolloutId(rollout), now)),
            sort: Some(&self.sort)
                .filter(|sort| !sort.is_empty())
                .map(|sort| sort.parse())
                .transpose()?,
            descending: self.descending,
            ..DeviceFilter::default()
        };
        Ok(DeviceQuery {
            filter: self.seen(filter, now)?,
            state: given("state").map(|word| word.parse()).transpose()?,
            build: self.number("build_id")?.map(BuildId),
            reason: given("reason"),
            fate: given("fate").map(|word| word.parse()).transpose()?,
        })
    }

    fn seen(&self, mut filter: DeviceFilter, now: DateTime<Utc>) -> Result<DeviceFilter, Error> {
        let word = self.text("seen");
        if word.is_empty() {
            return Ok(filter);
        }
        let known = SEEN.iter().find(|(known, ..)| *known == word);
        let Some((_, _, hours, within)) = known else {
            let words: Vec<&str> = SEEN.iter().map(|(word, ..)| *word).collect();
            return Err(Error::invalid(
                "seen",
                format!("must be one of {}", words.join(", ")),
            ));
        };
        let since = Some(now - TimeDelta::hours(*hours));
        match within {
            true => filter.seen_since = since,
            false => filter.silent_since = since,
        }
        Ok(filter)
    }

    fn number(&self, name: &str) -> Result<Option<i64>, Error> {
        match self.text(name) {
            "" => Ok(None),
            text => text
                .parse()
                .map(Some)
                .map_err(|_| Error::invalid(name, "must be a whole number")),
        }
    }

    fn versions(&self) -> Result<Option<RangeInclusive<VersionCode>>, Error> {
        let (min, max) = (self.number("min_version")?, self.number("max_version")?);
        if min.is_none() && max.is_none() {
            return Ok(None);
        }
        let version = |name: &str, code| {
            VersionCode::new(code).map_err(|_| Error::invalid(name, "must not be negative"))
        };
        let from = version("min_version", min.unwrap_or(1))?;
        Ok(Some(from..=version("max_version", max.unwrap_or(i64::MAX))?))
    }

    fn levels(&self) -> Result<Option<RangeInclusive<SdkLevel>>, Error> {
        let level = |name: &str, usual| match self.number(name)? {
            None => Ok(usual),
            Some(level) => SdkLevel::try_from(level)
                .map_err(|_| Error::invalid(name, "must be an API level, such as 34")),
        };
        if self.text("min_sdk").is_empty() && self.text("max_sdk").is_empty() {
            return Ok(None);
        }
        Ok(Some(level("min_sdk", 0)?..=level("max_sdk", SdkLevel::MAX)?))
    }
}

/// A field's value in words, where its word in the address is none of an operator's.
fn words(field: &str, value: &str) -> String {
    let known: Option<&str> = match field {
        "seen" => SEEN
            .iter()
            .find(|(word, ..)| *word == value)
            .map(|(_, words, ..)| *words),
        "fate" => FATES
            .iter()
            .find(|(word, _)| *word == value)
            .map(|(_, words)| *words),
        "reason" => return super::reason_words::reason(value).into_owned(),
        "state" => value.parse().ok().map(conditions::name),
        "can_be_nudged" if value == "true" => Some("yes"),
        "can_be_nudged" => Some("no"),
        _ => None,
    };
    known.unwrap_or(value).to_owned()
}
