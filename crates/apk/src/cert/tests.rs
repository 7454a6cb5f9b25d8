use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::*;
use crate::ber::{Class, Element};

/// A certificate made with OpenSSL: RSA 2,048, seven name parts, key usage, a date after 2050.
fn sample() -> Vec<u8> {
    BASE64
        .decode(include_str!("sample.txt").replace('\n', ""))
        .unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |out, byte| out + &format!("{byte:02x}"))
}

#[test]
fn a_certificate_reads_as_other_tools_print_it() {
    let certificate = Certificate::parse(&sample()).unwrap();
    let name = "EMAILADDRESS=a@example.org, OU=R, O=\"Example, Inc.\", L=Mountain View, ST=California, C=US";
    assert_eq!(certificate.subject, name);
    assert_eq!(certificate.issuer, name);
    assert_eq!(
        hex(&certificate.sha256),
        "dbdba5f4050ed87622915007126d9c1e958b9b61dd0987c131491d26d6832152"
    );
    assert_eq!(hex(&certificate.sha1), "894c1b8ee1855c13eb5a25a1f4e65d8f1303c67b");
    assert_eq!(
        (certificate.key_algorithm.as_str(), certificate.key_bits),
        ("RSA", 2048)
    );
    assert_eq!(hex(&certificate.serial), "00f1a2b3c4d5e6f708");
    // 2026-11-23T19:51:19Z as UTCTime and 2051-07-15T19:51:19Z as GeneralizedTime.
    assert_eq!(
        (certificate.not_before, certificate.not_after),
        (1_795_463_479, 2_573_063_479)
    );
    assert!(certificate.may_sign && certificate.is_self_issued());
    assert_eq!(certificate.unsupported_critical, None);
}

/// The same element with lengths of four bytes where one would do.
fn with_long_lengths(element: Element<'_>, out: &mut Vec<u8>) {
    let mut contents = Vec::new();
    if element.constructed {
        let mut children = element.children();
        while let Some(child) = children.next().unwrap() {
            with_long_lengths(child, &mut contents);
        }
    } else {
        contents.extend_from_slice(element.contents);
    }
    out.extend([element.encoded[0], 0x84]);
    out.extend(u32::try_from(contents.len()).unwrap().to_be_bytes());
    out.extend(contents);
}

/// The same element with an indefinite length wherever one is possible.
fn with_indefinite_lengths(element: Element<'_>, out: &mut Vec<u8>) {
    if !element.constructed {
        out.extend_from_slice(element.encoded);
        return;
    }
    out.extend([element.encoded[0], 0x80]);
    let mut children = element.children();
    while let Some(child) = children.next().unwrap() {
        with_indefinite_lengths(child, out);
    }
    out.extend([0, 0]);
}

#[test]
fn an_encoding_that_is_not_der_is_read_and_kept() {
    let der = sample();
    let strict = Certificate::parse(&der).unwrap();
    for rewrite in [with_long_lengths, with_indefinite_lengths] {
        let mut ber = Vec::new();
        rewrite(Element::first(&der, "certificate").unwrap(), &mut ber);
        let lenient = Certificate::parse(&ber).unwrap();
        assert_eq!(lenient.der, ber);
        assert_ne!(
            lenient.sha256, strict.sha256,
            "the fingerprint is over the encoding as found"
        );
        assert_eq!(lenient.spki_der, strict.spki_der);
        assert_eq!(lenient.issuer_der, strict.issuer_der);
        assert_eq!(lenient.subject, strict.subject);
        assert!(lenient.is_issued_by(&strict));
    }
}

#[test]
fn a_truncated_certificate_is_malformed_at_every_length() {
    let der = sample();
    for end in 0..der.len() {
        assert!(Certificate::parse(&der[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn what_follows_a_certificate_is_part_of_its_fingerprint() {
    let mut longer = sample();
    longer.push(0);
    let longer = Certificate::parse(&longer).unwrap();
    assert_ne!(longer.sha256, Certificate::parse(&sample()).unwrap().sha256);
}

#[test]
fn an_absurdly_large_certificate_is_refused_unread() {
    assert!(Certificate::parse(&vec![0x30; (1 << 20) + 1]).is_err());
}

#[test]
fn deep_nesting_ends_in_an_error() {
    for bytes in [[0x30, 0x80].repeat(1 << 17), [0x24, 0x80].repeat(500)] {
        assert!(Certificate::parse(&bytes).is_err());
    }
}

fn seconds(tag: u32, text: &str) -> Result<i64, Fault> {
    let bytes = crate::ber::write(Class::Universal, false, tag, text.as_bytes());
    time::parse(Element::first(&bytes, "time").unwrap())
}

#[test]
fn dates_are_read_in_all_the_forms_in_use() {
    for (tag, text, expected) in [
        (23, "700101000000Z", 0),
        (23, "491231235959Z", 2_524_607_999),
        (23, "500101000000Z", -631_152_000),
        (24, "20000229120000Z", 951_825_600),
        (24, "19691231235959Z", -1),
        (24, "99991231235959Z", 253_402_300_799),
        (24, "20200101000000.123Z", 1_577_836_800),
        (23, "2001010000Z", 1_577_836_800),
        (23, "200101020000+0200", 1_577_836_800),
        (23, "191231223000-0130", 1_577_836_800),
    ] {
        assert_eq!(seconds(tag, text), Ok(expected), "{text}");
    }
    for (tag, text) in [
        (23, ""),
        (23, "Z"),
        (23, "201301000000Z"),
        (23, "200100000000Z"),
        (23, "200101006100Z"),
        (23, "200101000000"),
        (23, "200101000000+2"),
        (23, "20-101000000Z"),
        (22, "200101000000Z"),
        (24, "200\u{660}0101000000Z"),
    ] {
        assert!(seconds(tag, text).is_err(), "{text:?}");
    }
}

fn name(parts: &[(u32, &[u8])]) -> Name {
    let sequence = |tag, contents: &[u8]| crate::ber::write(Class::Universal, true, tag, contents);
    let mut sets = Vec::new();
    for (tag, value) in parts {
        let mut pair = vec![0x06, 0x03, 0x55, 0x04, 0x03];
        pair.extend(crate::ber::write(Class::Universal, false, *tag, value));
        sets.extend(sequence(17, &sequence(16, &pair)));
    }
    Name::parse(Element::first(&sequence(16, &sets), "name").unwrap()).unwrap()
}

#[test]
fn names_are_equal_whatever_their_case_spaces_and_kind_of_text() {
    let reference = name(&[(12, b"Fleet Release")]);
    assert_eq!(name(&[(19, b" fleet  RELEASE ")]), reference);
    assert_ne!(name(&[(12, b"Fleet-Release")]), reference);
    // Other kinds of text are compared as they are encoded.
    assert_ne!(name(&[(20, b"Fleet Release")]), reference);
}

#[test]
fn hostile_names_are_shown_harmlessly() {
    assert_eq!(name(&[(12, b"a\nb\x1b[31m")]).to_string(), "CN=a\\nb\\u{1b}[31m");
    assert_eq!(name(&[(12, b"a, CN=b")]).to_string(), "CN=\"a, CN=b\"");
    assert_eq!(
        name(&[(30, &[0x00, 0x41, 0x20, 0xac])]).to_string(),
        "CN=A\u{20ac}"
    );
    assert_eq!(name(&[(12, &[0xff, 0xfe])]).to_string(), "CN=#fffe");
    assert_eq!(
        name(&[(12, b"first"), (19, b"second")]).to_string(),
        "CN=second, CN=first"
    );
}
