//! The forms in which people write durations, sizes and addresses.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use humantime::format_duration;
use url::Url;

/// `6h`, `90s`, `1h 30m`.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        humantime::parse_duration(text)
            .ok()
            .filter(|duration| range.contains(duration))
            .ok_or_else(|| {
                format!(
                    "must be a time such as 90s, 30m or 6h, from {} to {}",
                    format_duration(*range.start()),
                    format_duration(*range.end())
                )
            })
    }
}

/// A whole number.
pub(super) fn number<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    move |text| {
        text.parse()
            .ok()
            .filter(|number| range.contains(number))
            .ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
    }
}

/// `512MiB`, `2 GiB`, `1500000`: bytes, with units of 1,024.
pub(super) fn bytes(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, String> {
    move |text| {
        parse_bytes(text)
            .filter(|bytes| range.contains(bytes))
            .ok_or_else(|| {
                format!(
                    "must be a size such as 512MiB, 2GiB or a number of bytes, from {} to {}",
                    range.start(),
                    range.end()
                )
            })
    }
}

fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" | "k" => 1 << 10,
        "mib" | "m" => 1 << 20,
        "gib" | "g" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let allowed = "must be an address and a port, such as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080";
    text.parse().map_err(|_| allowed.to_owned())
}

/// The base of the addresses that devices are sent to, without a slash at the end.
pub(super) fn base_url(text: &str) -> Result<String, String> {
    let allowed =
        "must be where devices reach this server, such as https://updates.example.com, with no query";
    let url = Url::parse(text).map_err(|_| allowed.to_owned())?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if !plain {
        return Err(allowed.to_owned());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// As [`base_url`], for what is reached without TLS.
pub(super) fn plain_base_url(text: &str) -> Result<String, String> {
    base_url(text)
        .ok()
        .filter(|url| url.starts_with("http://"))
        .ok_or_else(|| "must be a collector's address without TLS, such as http://127.0.0.1:4317".to_owned())
}

pub(super) fn not_empty(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("must not be empty".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_people_write_them() {
        let sizes = [
            ("0", Some(0)),
            ("1500000", Some(1_500_000)),
            ("512MiB", Some(512 << 20)),
            ("512 mib", Some(512 << 20)),
            ("2G", Some(2 << 30)),
            ("1KiB", Some(1024)),
            ("MiB", None),
            ("1.5GiB", None),
            ("-1", None),
            ("512MB?", None),
            ("99999999999999999999", None),
            ("18446744073709551615k", None),
        ];
        for (text, bytes) in sizes {
            assert_eq!(parse_bytes(text), bytes, "{text}");
        }
    }

    #[test]
    fn a_base_url_has_nothing_that_a_path_could_not_follow() {
        assert_eq!(base_url("https://u.example/"), Ok("https://u.example".to_owned()));
        assert_eq!(base_url("http://h:1/base/"), Ok("http://h:1/base".to_owned()));
        for bad in [
            "",
            "updates.example.com",
            "ftp://h",
            "http://h?x=1",
            "http://h/#x",
            "http://a:b@h",
        ] {
            assert!(base_url(bad).is_err(), "{bad}");
        }
    }
}
