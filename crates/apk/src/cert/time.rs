use crate::ber::{Class, Element};
use crate::crypto::Fault;

const UTC_TIME: u32 = 23;
const GENERALIZED_TIME: u32 = 24;

/// Seconds since 1970 of a `UTCTime` or `GeneralizedTime` (RFC 5280 section 4.1.2.5); seconds may be
/// missing and an offset may stand in for the `Z`, as older signers wrote them.
pub(super) fn parse(element: Element<'_>) -> Result<i64, Fault> {
    let text = std::str::from_utf8(element.contents).map_err(|_| bad("not text"))?;
    let (year, rest) = match (element.class, element.tag) {
        (Class::Universal, UTC_TIME) => {
            let (year, rest) = number(text, 2)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        (Class::Universal, GENERALIZED_TIME) => number(text, 4)?,
        _ => return Err(bad("neither UTCTime nor GeneralizedTime")),
    };
    let (month, rest) = number(rest, 2)?;
    let (day, rest) = number(rest, 2)?;
    let (hour, rest) = number(rest, 2)?;
    let (minute, rest) = number(rest, 2)?;
    let (second, rest) = if rest.starts_with(|c: char| c.is_ascii_digit()) {
        number(rest, 2)?
    } else {
        (0, rest)
    };
    let in_range =
        (1..=12).contains(&month) && (1..=31).contains(&day) && hour <= 24 && minute < 60 && second <= 60;
    if !in_range {
        return Err(bad(text));
    }
    let offset = offset(skip_fraction(rest))?;
    Ok(days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset)
}

fn skip_fraction(rest: &str) -> &str {
    match rest.strip_prefix(['.', ',']) {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    }
}

/// Seconds east of UTC.
fn offset(rest: &str) -> Result<i64, Fault> {
    let (sign, digits) = match rest.split_at_checked(1) {
        Some(("Z", "")) => return Ok(0),
        Some(("+", digits)) => (1, digits),
        Some(("-", digits)) => (-1, digits),
        _ => return Err(bad("no time zone")),
    };
    let (hours, rest) = number(digits, 2)?;
    let (minutes, rest) = number(rest, 2)?;
    if !rest.is_empty() || hours > 24 || minutes >= 60 {
        return Err(bad("a malformed time zone"));
    }
    Ok(sign * (hours * 3_600 + minutes * 60))
}

fn number(text: &str, digits: usize) -> Result<(i64, &str), Fault> {
    let (head, rest) = text.split_at_checked(digits).ok_or_else(|| bad(text))?;
    if !head.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad(text));
    }
    Ok((head.parse().map_err(|_| bad(text))?, rest))
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar. Years are counted from March, so that the leap
/// day is the last day of its year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let (shifted_year, shifted_month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn bad(what: &str) -> Fault {
    Fault::Malformed {
        what: "certificate",
        why: format!("validity: {what:?}"),
    }
}
