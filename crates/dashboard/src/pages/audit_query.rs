//! Which entries of the audit log are asked for, as it stands in the address.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use tidegate_service::{AuditFilter, Error};

use super::device_query::Chip;
use crate::form::Fields;
use crate::show;

/// The fields of the filter with their names on the page.
const FIELDS: [(&str, &str); 5] = [
    ("actor", "Who"),
    ("action", "Action"),
    ("target", "Subject"),
    ("from", "Since"),
    ("to", "Until"),
];

/// The filter as it was typed.
pub(crate) struct Typed([String; FIELDS.len()]);

impl Typed {
    pub(crate) fn of(query: &Fields) -> Self {
        Self(FIELDS.map(|(name, _)| query.text(name).to_owned()))
    }

    pub(crate) fn text(&self, field: &str) -> &str {
        let at = FIELDS.iter().position(|(name, _)| *name == field);
        at.map_or("", |at| &self.0[at])
    }

    /// The fields with a value.
    fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        FIELDS
            .iter()
            .zip(&self.0)
            .map(|((name, _), value)| (*name, value.as_str()))
    }

    /// The address of the log from this page on.
    pub(crate) fn query(&self, page_token: &str) -> String {
        let mut pairs: Vec<_> = self.pairs().collect();
        pairs.push(("page_token", page_token));
        show::query(&pairs)
    }

    /// What is asked for, each with the address without it.
    pub(crate) fn chips(&self) -> Vec<Chip> {
        let set = FIELDS.iter().zip(&self.0).filter(|(_, value)| !value.is_empty());
        set.map(|((field, name), value)| {
            let others: Vec<_> = self.pairs().filter(|(other, _)| other != field).collect();
            Chip {
                name,
                value: value.clone(),
                without: format!("/audit{}", show::query(&others)),
            }
        })
        .collect()
    }

    /// What is asked for, checked.
    pub(crate) fn parse(&self) -> Result<AuditFilter, Error> {
        let given = |field| Some(self.text(field).to_owned()).filter(|text| !text.is_empty());
        Ok(AuditFilter {
            actor: given("actor"),
            action: given("action"),
            target: given("target"),
            from: self.moment("from", TimeDelta::zero())?,
            to: self.moment("to", TimeDelta::days(1))?,
        })
    }

    /// A day or a moment, in UTC. A day as the end of a range means all of it.
    fn moment(&self, field: &str, of_a_day: TimeDelta) -> Result<Option<DateTime<Utc>>, Error> {
        let text = self.text(field);
        if text.is_empty() {
            return Ok(None);
        }
        let day = text
            .parse::<NaiveDate>()
            .ok()
            .and_then(|day| day.and_hms_opt(0, 0, 0)?.checked_add_signed(of_a_day));
        let time = day.or_else(|| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").ok());
        let time = time.ok_or_else(|| Error::invalid(field, "must be a day such as 2026-11-23"))?;
        Ok(Some(time.and_utc()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_all_of_it() {
        let typed = Typed::of(&Fields::parse(b"from=2026-11-23&to=2026-11-23"));
        let filter = typed.parse().unwrap();
        assert_eq!(filter.from.unwrap().to_rfc3339(), "2026-11-23T00:00:00+00:00");
        assert_eq!(filter.to.unwrap().to_rfc3339(), "2026-11-24T00:00:00+00:00");
        assert!(Typed::of(&Fields::parse(b"to=yesterday")).parse().is_err());
    }

    #[test]
    fn a_chip_takes_away_its_own_field_alone() {
        let typed = Typed::of(&Fields::parse(
            b"actor=ann&target=user%2Fbob&from=2026-11-23&odd=1",
        ));
        let chips = typed.chips();
        let told: Vec<_> = chips
            .iter()
            .map(|chip| (chip.name, &*chip.value, &*chip.without))
            .collect();
        assert_eq!(
            told,
            [
                ("Who", "ann", "/audit?target=user%2Fbob&from=2026-11-23"),
                ("Subject", "user/bob", "/audit?actor=ann&from=2026-11-23"),
                ("Since", "2026-11-23", "/audit?actor=ann&target=user%2Fbob"),
            ]
        );
        assert_eq!(
            typed.query("x"),
            "?actor=ann&target=user%2Fbob&from=2026-11-23&page_token=x"
        );
    }
}
