//! The example in docs/patches.md is a patch.

use std::fmt::Write;

use crate::files::{applied, made};

const PAGE: &str = include_str!("../../../../docs/patches.md");
const BASE: &[u8] = b"hello, hello, hello!";
const RESULT: &[u8] = b"hello, hello, all around the world!";

fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (line, bytes) in bytes.chunks(16).enumerate() {
        write!(text, "{:04x} ", line * 16).unwrap();
        for byte in bytes {
            write!(text, " {byte:02x}").unwrap();
        }
        text.push('\n');
    }
    text
}

#[test]
fn the_example_in_the_docs_is_a_patch() {
    let (_, patch) = made(BASE, RESULT);
    let expected = dump(&patch);
    assert!(
        PAGE.contains(&expected),
        "docs/patches.md should have:\n{expected}"
    );
    // The bytes on the page themselves lead to the result.
    let (_, block) = PAGE.split_once("```text\n0000 ").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let written: Vec<u8> = block
        .lines()
        .flat_map(|line| line.trim_start_matches(|letter| letter != ' ').split_whitespace())
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect();
    assert_eq!(applied(&written, BASE).unwrap(), RESULT);
}
