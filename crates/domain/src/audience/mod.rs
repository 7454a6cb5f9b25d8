//! The devices that a rollout addresses, as an expression over what is known of them.
//!
//! The language is a part of CEL (<https://cel.dev>): `&& || ! == != < <= > >= in`, `startsWith`, `endsWith`,
//! `contains` and `has`. It compares attributes with literals and nothing else, so that each condition reads alone, and
//! what an audience costs at a poll has a bound.
//!
//! | attribute | is | from |
//! |---|---|---|
//! | `model`, `manufacturer`, `region`, `android` | a text | the device's last poll |
//! | `sdk` | a number | the device's last poll |
//! | `version` | a number: the version code that the device runs of the package, 0 for none | its last poll |
//! | `abi`, `device_tags` | a list of texts | the device's last poll |
//! | `tags` | a list of texts | operators |
//!
//! `android` is Android's own text such as `13` or `8.1.0`, and has no order: it is compared with `==`, `!=` and `in`, or
//! by its beginning. Whoever means "Android 13 and newer" asks for `sdk >= 33`.
//!
//! A device that does not state an attribute makes a comparison with it *unknown*, and so does every `&&`, `||` and `!`
//! that depends on it (Kleene's logic; `has` tells which it is). An audience takes only the devices for which the whole
//! is true: `region != "north"` does not take a device that tells no region.
//!
//! Behind the feature `expressions` an expression is read by the crate `cel`, checked, and lowered once into a small
//! tree of our own: cel's evaluation takes some forty times as long, and a poll may ask dozens of audiences. A
//! differential test holds the tree to cel's answers. Without the feature an audience can be made of lists only.

#[cfg_attr(
    not(feature = "expressions"),
    expect(dead_code, reason = "lists ask for two attributes")
)]
mod attribute;
#[cfg(feature = "expressions")]
mod lower;
#[cfg(feature = "expressions")]
mod parse;
#[cfg_attr(
    not(feature = "expressions"),
    expect(dead_code, reason = "lists are one kind of condition")
)]
mod predicate;
mod quote;
#[cfg(feature = "expressions")]
mod scan;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{DeviceFacts, Error, Tag, VersionCode};
use attribute::Attribute;
use predicate::{Entries, Predicate};

/// The longest list of regions or models in an [`Audience`] that is made of lists.
pub const MAX_AUDIENCE_ENTRIES: usize = 1_000;

/// The longest expression, in characters.
pub const MAX_AUDIENCE_CHARS: usize = 2_000;

/// The most conditions and operators in an expression.
pub const MAX_AUDIENCE_NODES: usize = 200;

/// How deep brackets and negations may be nested in an expression.
pub const MAX_AUDIENCE_DEPTH: usize = 32;

/// The expression that addresses every device.
const EVERYBODY: &str = "true";

/// The devices that a rollout addresses: docs/audiences.md tells the language.
///
/// Two audiences are equal when their texts are. In JSON one that says exactly what two lists say is the object
/// `{"regions": [], "models": []}` that older versions know, and any other is the text.
#[derive(Clone)]
pub struct Audience(Arc<Read>);

/// An audience as it was read.
struct Read {
    expression: String,
    /// What stands between the outermost `&&`. None for everybody.
    clauses: Vec<Condition>,
    /// Whether the text is what its lists would be written as.
    is_of_lists: bool,
}

/// One of the conditions that all must hold.
struct Condition {
    text: String,
    predicate: Predicate,
}

/// A device that an audience is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// What the device says of itself.
    pub facts: &'a DeviceFacts<'a>,
    /// The version that it runs of the package; 0 for none.
    pub installed: VersionCode,
    /// What operators call it.
    pub tags: &'a [Tag],
}

/// One of the conditions of an audience that all must hold, and what it says of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause<'a> {
    /// Its text.
    pub text: &'a str,
    /// The attributes that it asks about, with the device's values; `None` for what the device does not state.
    pub values: Vec<(&'static str, Option<String>)>,
    /// Whether it holds; `None`: the device does not state enough to tell.
    pub holds: Option<bool>,
}

impl Audience {
    /// All devices.
    pub fn everybody() -> Self {
        Self::new(EVERYBODY.to_owned(), vec![])
    }

    /// The devices of these regions that are of these models, compared exactly. An empty list addresses all; a device
    /// that does not state its region or model is not in an audience that asks for it.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `audience` for a list of more than [`MAX_AUDIENCE_ENTRIES`].
    pub fn of_lists(regions: Vec<String>, models: Vec<String>) -> Result<Self, Error> {
        if regions.len().max(models.len()) > MAX_AUDIENCE_ENTRIES {
            let fault = format!("may list at most {MAX_AUDIENCE_ENTRIES} regions and as many models");
            return Err(Error::invalid("audience", fault));
        }
        let expression = written(&regions, &models);
        let clauses = [(Attribute::Region, regions), (Attribute::Model, models)]
            .into_iter()
            .filter(|(_, texts)| !texts.is_empty())
            .map(|(attribute, texts)| Condition {
                text: one_of(attribute, &texts),
                predicate: Predicate::TextIn(attribute, Entries::new(texts)),
            })
            .collect();
        Ok(Self::new(expression, clauses))
    }

    /// Reads an expression.
    ///
    /// # Errors
    /// [`Error::Audience`], which says where and what is wrong; for an expression of more than
    /// [`MAX_AUDIENCE_CHARS`], [`MAX_AUDIENCE_NODES`] or [`MAX_AUDIENCE_DEPTH`] too.
    #[cfg(feature = "expressions")]
    pub fn parse(text: &str) -> Result<Self, Error> {
        let clauses = parse::clauses(text)?;
        let expression = text.trim();
        if expression == EVERYBODY {
            return Ok(Self::everybody());
        }
        Ok(Self::new(expression.to_owned(), clauses))
    }

    fn new(expression: String, clauses: Vec<Condition>) -> Self {
        let is_of_lists =
            lists(&clauses).is_some_and(|(regions, models)| written(regions, models) == expression);
        Self(Arc::new(Read {
            expression,
            clauses,
            is_of_lists,
        }))
    }

    /// The expression's text. That of an audience made of lists may be longer than [`MAX_AUDIENCE_CHARS`].
    pub fn as_str(&self) -> &str {
        &self.0.expression
    }

    /// Whether it is the audience of all devices, as far as its text tells.
    pub fn is_everybody(&self) -> bool {
        self.0.clauses.is_empty()
    }

    /// The regions and models, when the text is exactly what [`Audience::of_lists`] writes for them.
    pub fn lists(&self) -> Option<(&[String], &[String])> {
        lists(&self.0.clauses).filter(|_| self.0.is_of_lists)
    }

    /// Whether the device is certainly addressed.
    pub fn includes(&self, subject: &Subject<'_>) -> bool {
        let mut clauses = self.0.clauses.iter();
        clauses.all(|clause| clause.predicate.holds(subject) == Some(true))
    }

    /// What each of the conditions says of the device, and what it looks at.
    pub fn clauses(&self, subject: &Subject<'_>) -> Vec<Clause<'_>> {
        let clauses = self.0.clauses.iter();
        clauses
            .map(|clause| {
                let mut asked = Vec::new();
                clause.predicate.each_attribute(&mut |attribute| {
                    if !asked.contains(&attribute) {
                        asked.push(attribute);
                    }
                });
                let value = |attribute: Attribute| (attribute.as_str(), attribute.shown(subject));
                Clause {
                    text: &clause.text,
                    values: asked.into_iter().map(value).collect(),
                    holds: clause.predicate.holds(subject),
                }
            })
            .collect()
    }

    /// Whether it asks for the version that a device runs, which depends on a package.
    pub fn asks_for_version(&self) -> bool {
        self.asks_for(Attribute::Version)
    }

    /// Whether it asks for the tags that operators gave to a device.
    pub fn asks_for_tags(&self) -> bool {
        self.asks_for(Attribute::Tags)
    }

    /// A tag of the operators' without which no device is in it, if there is one.
    pub(crate) fn required_tag(&self) -> Option<Tag> {
        self.0.clauses.iter().find_map(|clause| match &clause.predicate {
            Predicate::Lists(Attribute::Tags, entry) => Tag::parse(entry).ok(),
            _ => None,
        })
    }

    /// Whether it names this tag of the operators'.
    pub fn names_tag(&self, tag: &Tag) -> bool {
        self.tags().contains(tag.as_str())
    }

    /// The tags of the operators' that it names. A text that no tag can be is among them.
    pub fn tags(&self) -> BTreeSet<&str> {
        let mut tags = BTreeSet::new();
        for clause in &self.0.clauses {
            clause.predicate.each_entry(Attribute::Tags, &mut |entry| {
                tags.insert(entry);
            });
        }
        tags
    }

    fn asks_for(&self, wanted: Attribute) -> bool {
        let mut asks = false;
        for clause in &self.0.clauses {
            clause
                .predicate
                .each_attribute(&mut |attribute| asks |= attribute == wanted);
        }
        asks
    }
}

impl Condition {
    /// The attribute and the texts, when the condition is that it is one of these.
    fn list(&self) -> Option<(Attribute, &[String])> {
        match &self.predicate {
            Predicate::TextIn(attribute, entries) => Some((*attribute, entries.texts())),
            _ => None,
        }
    }
}

/// The regions and models that the conditions list, when they are nothing but these two, in this order.
fn lists(clauses: &[Condition]) -> Option<(&[String], &[String])> {
    match clauses {
        [] => Some((&[], &[])),
        [only] => match only.list()? {
            (Attribute::Region, regions) => Some((regions, &[])),
            (Attribute::Model, models) => Some((&[], models)),
            _ => None,
        },
        [first, second] => match (first.list()?, second.list()?) {
            ((Attribute::Region, regions), (Attribute::Model, models)) => Some((regions, models)),
            _ => None,
        },
        _ => None,
    }
}

/// The expression that says what these lists say.
fn written(regions: &[String], models: &[String]) -> String {
    match (regions, models) {
        ([], []) => EVERYBODY.to_owned(),
        (regions, []) => one_of(Attribute::Region, regions),
        ([], models) => one_of(Attribute::Model, models),
        (regions, models) => format!(
            "{} && {}",
            one_of(Attribute::Region, regions),
            one_of(Attribute::Model, models)
        ),
    }
}

fn one_of(attribute: Attribute, texts: &[String]) -> String {
    format!("{} in {}", attribute.as_str(), quote::list(texts))
}

impl Default for Audience {
    fn default() -> Self {
        Self::everybody()
    }
}

impl PartialEq for Audience {
    fn eq(&self, other: &Self) -> bool {
        self.0.expression == other.0.expression
    }
}

impl Eq for Audience {}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Audience({self})")
    }
}

/// What older versions know of an audience.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Lists<'a> {
    regions: Cow<'a, [String]>,
    models: Cow<'a, [String]>,
}

impl Serialize for Audience {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.lists() {
            Some((regions, models)) => Lists {
                regions: regions.into(),
                models: models.into(),
            }
            .serialize(serializer),
            None => serializer.serialize_str(self.as_str()),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Form {
    Expression(String),
    Lists(Lists<'static>),
}

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let audience = match Form::deserialize(deserializer)? {
            Form::Lists(lists) => Self::of_lists(lists.regions.into_owned(), lists.models.into_owned()),
            #[cfg(feature = "expressions")]
            Form::Expression(text) => Self::parse(&text),
            #[cfg(not(feature = "expressions"))]
            Form::Expression(text) => {
                let fault = format!("is an expression, which this program was built without: {text}");
                Err(Error::invalid("audience", fault))
            }
        };
        audience.map_err(D::Error::custom)
    }
}
