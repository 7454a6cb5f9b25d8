//! The part of the fleet that a release takes its share of, as the dialog asks for it.

use tidegate_domain::Slice;
use tidegate_service::Error;

use crate::form::Fields;

/// The word for a slice that begins where the last automatic one ended.
const AUTO: &str = "auto";

/// The word for a slice that begins at a place of its own.
const AT: &str = "at";

/// The width that is proposed, in percent: all of the fleet.
const WHOLE: &str = "100";

/// A slice as it was typed.
#[derive(PartialEq)]
pub(crate) struct SliceChoice {
    /// Empty, or one of the words.
    pub start: String,
    /// Where it begins, in percent.
    pub at: String,
    /// How much of the fleet it is, in percent.
    pub width: String,
}

impl SliceChoice {
    /// As it is proposed.
    pub(crate) fn usual() -> Self {
        Self {
            start: String::new(),
            at: String::new(),
            width: WHOLE.to_owned(),
        }
    }

    /// As it was sent.
    pub(crate) fn of(fields: &Fields) -> Self {
        let usual = Self::usual();
        Self {
            start: fields.text("slice_start").to_owned(),
            at: fields.text("slice_at").to_owned(),
            width: fields.given("slice_width").unwrap_or(usual.width),
        }
    }
}

/// The slice that the form asks for, and whether it begins where the last automatic one ended.
pub(crate) fn slice(fields: &Fields) -> Result<(Slice, bool), Error> {
    let width = match fields.text("slice_width") {
        "" => Slice::WHOLE.width.as_percent(),
        _ => fields.decimal("slice_width")?,
    };
    let start = match (fields.text("slice_start"), fields.text("slice_at")) {
        (AT, "") => {
            let fault = "is missing: say where the slice begins, in percent";
            return Err(Error::invalid("slice_at", fault));
        }
        (AT, _) => fields.decimal("slice_at")?,
        ("" | AUTO, "") => 0.0,
        ("" | AUTO, _) => {
            let fault =
                "is for a slice that begins at a place of its own: choose that as well, or leave it empty";
            return Err(Error::invalid("slice_at", fault));
        }
        _ => return Err(Error::invalid("slice_start", "must be empty, auto or at")),
    };
    Ok((
        Slice::of_percents(start, width)?,
        fields.text("slice_start") == AUTO,
    ))
}
