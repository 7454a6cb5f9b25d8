//! Names that look like what they are.

use crate::Error;

/// The characters that show nothing, or turn the text around them: Unicode's `Default_Ignorable_Code_Point` and
/// `Bidi_Control`, the separators of lines and paragraphs, and a braille cell without dots.
///
/// Source: <https://www.unicode.org/reports/tr36/#visual_spoofing>,
/// <https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt>
const INVISIBLE: [(char, char); 20] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200c}'),
    JOINER,
    ('\u{200e}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3164}', '\u{3164}'),
    VARIANTS,
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// What emoji are put together with.
const JOINER: (char, char) = ('\u{200d}', '\u{200d}');
const VARIANTS: (char, char) = ('\u{fe00}', '\u{fe0f}');

/// Refuses a new name that two people could read as the same and a program as two. A name that is only shown may have
/// emoji in it; an identifier may not.
///
/// It is asked when a name is given and not when one is read, so that names of before go on working.
///
/// # Errors
/// [`Error::Invalid`] with this field.
pub fn check_visible(field: &'static str, text: &str, emoji: bool) -> Result<(), Error> {
    let allowed = |range: &(char, char)| emoji && [JOINER, VARIANTS].contains(range);
    let hides = |c: char| {
        let range = INVISIBLE
            .iter()
            .find(|(first, last)| (*first..=*last).contains(&c));
        c.is_control() || range.is_some_and(|range| !allowed(range))
    };
    match text.chars().find(|c| hides(*c)) {
        None => Ok(()),
        Some(c) => Err(Error::invalid(
            field,
            format!("must not contain U+{:04X}, which cannot be seen", u32::from(c)),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_refused_by_its_number() {
        for (first, last) in INVISIBLE {
            for c in [first, last] {
                let fault = check_visible("alias", &format!("a{c}b"), false).unwrap_err();
                assert!(
                    fault.to_string().contains(&format!("U+{:04X}", u32::from(c))),
                    "{fault}"
                );
            }
        }
        for text in ["Empfang \u{202e}3", "a\tb", "\u{200b}"] {
            assert!(check_visible("alias", text, true).is_err(), "{text:?}");
        }
        for text in ["", "Empfang 3", "قاعة ١", "前台", "é", "e\u{301}"] {
            assert_eq!(check_visible("alias", text, false), Ok(()), "{text:?}");
        }
        for emoji in ["❤\u{fe0f}", "👩\u{200d}💻"] {
            assert_eq!(check_visible("alias", emoji, true), Ok(()));
            assert!(check_visible("device_id", emoji, false).is_err());
        }
    }
}
