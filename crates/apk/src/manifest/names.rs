//! The names that Android accepts for packages.

/// The longest, in characters: what a file system leaves for the name of the package's folder.
const MAX_CHARACTERS: usize = 223;

/// What is wrong with a package's name, or a shared user's.
///
/// Source: `FrameworkParsingPackageUtils.validateName` of AOSP, with a separator and the length asked for. It takes
/// two dots in a row and one at the end; this doesn't, and no build tool makes such a name.
pub(super) fn fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("it is empty".to_owned());
    }
    if name.chars().count() > MAX_CHARACTERS {
        return Some(format!("longer than {MAX_CHARACTERS} characters"));
    }
    let mut front = true;
    for letter in name.chars() {
        front = match letter {
            'a'..='z' | 'A'..='Z' => false,
            '0'..='9' | '_' if !front => false,
            '.' if !front => true,
            '0'..='9' | '_' => return Some("each part has to begin with a letter".to_owned()),
            '.' => return Some("an empty part".to_owned()),
            other => return Some(format!("the character {other:?}")),
        };
    }
    if front {
        return Some("an empty part".to_owned());
    }
    (!name.contains('.')).then(|| "it needs at least one dot".to_owned())
}

/// Whether a process or a task may have this name: one with a dot, one behind a colon, or none.
///
/// Source: `ComponentParseUtils.buildCompoundName` and `validateName` of AOSP, which take any dots.
pub(super) fn is_process(name: &str) -> bool {
    if name.is_empty() || name == "system" {
        return true;
    }
    let (own, dotted) = match name.strip_prefix(':') {
        Some("") => return false,
        Some(own) => (own, false),
        None => (name, true),
    };
    let mut front = true;
    let letters = own.chars().all(|letter| {
        let taken = letter.is_ascii_alphabetic()
            || letter == '.'
            || !front && (letter.is_ascii_digit() || letter == '_');
        front = letter == '.';
        taken
    });
    letters && (!dotted || own.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::{fault, is_process};

    #[test]
    fn names_of_processes() {
        for name in [
            "",
            "system",
            ":remote",
            ":a.b_1",
            "com.example.other",
            "a..b.",
            ".a",
        ] {
            assert!(is_process(name), "{name}");
        }
        for name in [
            ":", ":1a", ":_a", ":re-mote", "remote", "a b", "com.1a", " ", "com.ä",
        ] {
            assert!(!is_process(name), "{name}");
        }
    }

    #[test]
    fn names_as_android_takes_them() {
        let longest = format!("com.{}", "a".repeat(219));
        for name in ["a.b", "com.example.app", "Com.X9_y.z_", longest.as_str()] {
            assert_eq!(fault(name), None, "{name}");
        }
        let too_long = format!("{longest}a");
        for name in [
            "",
            "nodot",
            "com.1app",
            "com._app",
            "1com.app",
            "com..app",
            "com.app.",
            ".com",
            "com.ä",
            "com.a-b",
            "com.a b",
            "com.a\n",
            too_long.as_str(),
        ] {
            assert!(fault(name).is_some(), "{name}");
        }
    }
}
