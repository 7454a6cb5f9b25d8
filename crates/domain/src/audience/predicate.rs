//! The tree that an audience is evaluated by. It is made once, where the audience is read; evaluating it allocates
//! nothing.

use std::cmp::Ordering;

use super::Subject;
use super::attribute::Attribute;

/// A condition on a device. It holds, or it does not, or that is not known because the device does not state what is
/// asked about (Kleene's logic).
#[derive(Debug)]
pub(super) enum Predicate {
    Constant(bool),
    All(Box<[Self]>),
    Any(Box<[Self]>),
    Not(Box<Self>),
    /// The device states the attribute.
    Stated(Attribute),
    Number(Attribute, Comparison, i64),
    /// The number is one of these, which are sorted.
    NumberIn(Attribute, Box<[i64]>),
    Text(Attribute, TextTest, Box<str>),
    TextIn(Attribute, Entries),
    /// The device's list has this entry.
    Lists(Attribute, Box<str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextTest {
    Equals,
    StartsWith,
    EndsWith,
    Contains,
}

/// Beyond this length a list is searched by halves.
const SEARCHED_IN_ORDER: usize = 8;

/// Texts in the order in which they were given.
#[derive(Debug)]
pub(super) struct Entries {
    texts: Vec<String>,
    /// Their places in the order of the texts; empty for a short list.
    sorted: Box<[usize]>,
}

impl Entries {
    pub(super) fn new(texts: Vec<String>) -> Self {
        let mut sorted = Vec::new();
        if texts.len() > SEARCHED_IN_ORDER {
            sorted.extend(0..texts.len());
            sorted.sort_by(|one, other| texts[*one].cmp(&texts[*other]));
        }
        Self {
            texts,
            sorted: sorted.into(),
        }
    }

    pub(super) fn texts(&self) -> &[String] {
        &self.texts
    }

    fn contains(&self, text: &str) -> bool {
        if self.sorted.is_empty() {
            return self.texts.iter().any(|entry| entry == text);
        }
        self.sorted
            .binary_search_by(|place| self.texts[*place].as_str().cmp(text))
            .is_ok()
    }
}

impl Comparison {
    fn admits(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl TextTest {
    fn admits(self, text: &str, asked: &str) -> bool {
        match self {
            Self::Equals => text == asked,
            Self::StartsWith => text.starts_with(asked),
            Self::EndsWith => text.ends_with(asked),
            Self::Contains => text.contains(asked),
        }
    }
}

impl Predicate {
    /// Whether it holds for this device; `None` when the device does not state enough to tell.
    pub(super) fn holds(&self, subject: &Subject<'_>) -> Option<bool> {
        match self {
            Self::Constant(answer) => Some(*answer),
            Self::All(parts) => all(parts, subject),
            Self::Any(parts) => any(parts, subject),
            Self::Not(part) => part.holds(subject).map(|holds| !holds),
            Self::Stated(attribute) => Some(attribute.is_stated(subject)),
            Self::Number(attribute, comparison, asked) => {
                let number = attribute.number(subject)?;
                Some(comparison.admits(number.cmp(asked)))
            }
            Self::NumberIn(attribute, numbers) => {
                let number = attribute.number(subject)?;
                Some(numbers.binary_search(&number).is_ok())
            }
            Self::Text(attribute, test, asked) => {
                let text = attribute.text(subject)?;
                Some(test.admits(text, asked))
            }
            Self::TextIn(attribute, entries) => Some(entries.contains(attribute.text(subject)?)),
            Self::Lists(attribute, entry) => attribute.lists(subject, entry),
        }
    }

    /// Calls `found` with each entry that is looked for in this list, as often as it is.
    pub(super) fn each_entry<'a>(&'a self, list: Attribute, found: &mut impl FnMut(&'a str)) {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                for part in parts {
                    part.each_entry(list, found);
                }
            }
            Self::Not(part) => part.each_entry(list, found),
            Self::Lists(asked, entry) if *asked == list => found(entry),
            _ => {}
        }
    }

    /// Calls `found` with each attribute that is asked about, as often as it is.
    pub(super) fn each_attribute(&self, found: &mut impl FnMut(Attribute)) {
        match self {
            Self::Constant(_) => {}
            Self::All(parts) | Self::Any(parts) => {
                for part in parts {
                    part.each_attribute(found);
                }
            }
            Self::Not(part) => part.each_attribute(found),
            Self::Stated(attribute)
            | Self::Number(attribute, ..)
            | Self::NumberIn(attribute, _)
            | Self::Text(attribute, ..)
            | Self::TextIn(attribute, _)
            | Self::Lists(attribute, _) => found(*attribute),
        }
    }
}

/// One part that does not hold decides, whatever is unknown of the others.
fn all(parts: &[Predicate], subject: &Subject<'_>) -> Option<bool> {
    let mut known = Some(true);
    for part in parts {
        match part.holds(subject) {
            Some(true) => {}
            Some(false) => return Some(false),
            None => known = None,
        }
    }
    known
}

/// One part that holds decides.
fn any(parts: &[Predicate], subject: &Subject<'_>) -> Option<bool> {
    let mut known = Some(false);
    for part in parts {
        match part.holds(subject) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => known = None,
        }
    }
    known
}
