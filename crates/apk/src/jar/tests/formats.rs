//! The text format of manifests.

use super::super::manifest::{Manifest, attribute};
use super::*;

fn names(text: &str) -> Vec<Option<String>> {
    let manifest = Manifest::parse(text.as_bytes().to_vec(), "x").unwrap();
    manifest
        .sections()
        .iter()
        .map(|section| section.name.clone())
        .collect()
}

#[test]
fn sections_end_at_empty_lines_of_any_kind() {
    for newline in ["\n", "\r\n", "\r"] {
        let text = [
            "Manifest-Version: 1.0",
            "",
            "",
            "Name: a",
            "X: 1",
            "",
            "Name: b",
            "",
            "",
        ]
        .join(newline);
        assert_eq!(names(&text), [Some("a".into()), Some("b".into())], "{newline:?}");
    }
}

#[test]
fn the_last_section_needs_no_empty_line() {
    let text = "Manifest-Version: 1.0\n\nName: a\nX: 1";
    assert_eq!(names(text), [Some("a".into())]);
    let manifest = Manifest::parse(text.into(), "x").unwrap();
    assert_eq!(manifest.text(&manifest.sections()[0]), b"Name: a\nX: 1");
    assert_eq!(manifest.main(), b"Manifest-Version: 1.0\n\n");
}

#[test]
fn a_name_may_go_on_in_further_lines() {
    assert_eq!(
        names("V: 1\n\nName: a/very\n /long\n /path\nX: 1\n\n"),
        [Some("a/very/long/path".into())]
    );
}

#[test]
fn the_name_has_to_come_first() {
    assert_eq!(names("V: 1\n\nX: 1\nName: a\n\n"), [None]);
    assert_eq!(names("V: 1\n\nNAME: a\n\n"), [Some("a".into())]);
}

#[test]
fn spaces_beyond_the_one_after_the_colon_belong_to_the_value() {
    assert_eq!(names("V: 1\n\nName:  a \n\n"), [Some(" a ".into())]);
    assert_eq!(names("V: 1\n\nName:a\n\n"), [None]);
}

#[test]
fn attributes_are_found_whatever_their_case_and_the_first_one_counts() {
    let section = b"Name: a\nDigest: one\nDIGEST: two\nEmpty\n";
    assert_eq!(attribute(section, "digest").as_deref(), Some("one"));
    assert_eq!(attribute(section, "empty").as_deref(), Some(""));
    assert_eq!(attribute(section, "Diges"), None);
}

#[test]
fn an_empty_file_has_no_sections() {
    for text in ["", "\n", "\r\n\r\n\n"] {
        assert_eq!(names(text), [], "{text:?}");
    }
}

#[test]
fn more_sections_than_an_archive_has_entries_are_refused() {
    let text = "a\n\n".repeat((1 << 17) + 2);
    let error = Manifest::parse(text.into_bytes(), "META-INF/X.SF").err().unwrap();
    assert_eq!(error.rule(), Some(Rule::JarMalformed));
}

#[test]
fn a_carriage_return_in_a_name_ends_the_line() {
    let mut archive = signed(&[&Key::new("a")], "");
    archive.set("with\rreturn", "x");
    let text = archive.text("META-INF/MANIFEST.MF") + "Name: with\rreturn\r\nSHA-256-Digest: AAAA\r\n\r\n";
    archive.set("META-INF/MANIFEST.MF", text);
    assert_eq!(refusal(&archive), broken(Rule::JarMissingEntry, "with"));
}
