//! Text from a file, made safe to show.
//!
//! Names of entries, packages, versions and certificates are written by whoever made the file. Printed as
//! they are, they move the cursor, reverse the reading direction or add a line that looks like ours. So
//! whatever leaves this crate as a text from a file went through [`visible`] first.

use std::fmt::Write as _;

/// The longest text that is shown, in characters.
const MAX_SHOWN: usize = 500;

/// `text` with every character that cannot be seen, or that changes how others are seen, written as an
/// escape (`\n`, `\u{202e}`), and cut after 500 characters.
///
/// Escaped are control characters, marks of the reading direction, spaces without width, separators of lines,
/// variation selectors, tags and other characters that leave no mark. A backslash stays as it is.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(MAX_SHOWN));
    for (count, letter) in text.chars().enumerate() {
        if count == MAX_SHOWN {
            let left = text.chars().count() - MAX_SHOWN;
            let _ = write!(shown, "… and {left} more characters");
            break;
        }
        if is_hidden(letter) {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

fn is_hidden(letter: char) -> bool {
    // The spaces of Latin and East Asian texts are seen as such.
    if matches!(letter, ' ' | '\u{a0}' | '\u{3000}') {
        return false;
    }
    letter.is_control()
        || letter.is_whitespace()
        || matches!(
            letter,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'
                | '\u{1160}'
                | '\u{17b4}'
                | '\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_all_scripts_and_pictures_stay() {
        for text in ["1.2 (β) «long» 🚀", "株式会社　例", "نسخة 2", "C:\\x", "a\u{a0}b"] {
            assert_eq!(visible(text), text);
        }
    }

    #[test]
    fn what_cannot_be_seen_is_written_out() {
        assert_eq!(
            visible("a\nVERIFIED\r\t\u{1b}[2J"),
            "a\\nVERIFIED\\r\\t\\u{1b}[2J"
        );
        assert_eq!(visible("x\u{202e}gpj.apk"), "x\\u{202e}gpj.apk");
        for letter in "\u{85}\u{9b}\u{7f}\u{200b}\u{2066}\u{2028}\u{feff}\u{e0041}\u{fe0f}\u{2003}".chars() {
            assert!(visible(&letter.to_string()).starts_with("\\u{"), "{letter:?}");
        }
    }

    #[test]
    fn a_long_text_is_cut() {
        let shown = visible(&"ä".repeat(70_000));
        assert!(shown.ends_with("… and 69500 more characters"), "{shown}");
        assert!(shown.chars().count() < 540);
    }
}
