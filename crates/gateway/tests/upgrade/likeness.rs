//! Whether an answer still says what it said.

use serde_json::Value;

/// Where a recorded answer is not met, in words; empty where it is. Fields that came since are no difference.
/// `varies` tells by its name whether only the kind of a field's value is compared.
pub(crate) fn differences(
    place: &str,
    was: &Value,
    is: &Value,
    varies: &dyn Fn(&str) -> bool,
) -> Vec<String> {
    match (was, is) {
        (Value::Object(was), Value::Object(is)) => {
            let fields = was.iter();
            let fields = fields.flat_map(|(name, was)| match is.get(name) {
                Some(is) if varies(name) => kind(&format!("{place}.{name}"), was, is),
                Some(is) => differences(&format!("{place}.{name}"), was, is, varies),
                None => vec![format!("{place}.{name} was {was} and is missing")],
            });
            fields.collect()
        }
        (Value::Array(was), Value::Array(is)) if place.ends_with(".rules") => rules(place, was, is, varies),
        (Value::Array(was), Value::Array(is)) if was.len() == is.len() => {
            let items = was.iter().zip(is).enumerate();
            let items =
                items.flat_map(|(at, (was, is))| differences(&format!("{place}[{at}]"), was, is, varies));
            items.collect()
        }
        _ if was == is => vec![],
        _ => vec![format!("{place} was {was} and is {is}")],
    }
}

/// An explanation may ask further rules between those that it asked.
fn rules(place: &str, was: &[Value], is: &[Value], varies: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut left = is.iter();
    let mut is_asked = |rule: &&Value| left.any(|now| differences(place, rule, now, varies).is_empty());
    match was.iter().find(|rule| !is_asked(rule)) {
        Some(rule) => vec![format!("{place} had {rule}, and are {is:?}")],
        None => vec![],
    }
}

fn kind(place: &str, was: &Value, is: &Value) -> Vec<String> {
    if std::mem::discriminant(was) == std::mem::discriminant(is) {
        return vec![];
    }
    vec![format!("{place} was like {was} and is {is}")]
}
