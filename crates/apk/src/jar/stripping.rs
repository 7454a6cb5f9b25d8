//! Notices that a newer signature was cut off: the v1 signature says which schemes signed as well.

use super::manifest::attribute;
use super::warning::JarWarning;
use crate::{Error, Rule, SdkRange};

const ATTRIBUTE: &str = "X-Android-APK-Signed";
/// Since this level devices know scheme v2 and heed the announcement.
const V2_SINCE: u32 = 24;
/// Since this level devices know scheme v3.
const V3_SINCE: u32 = 28;

/// Compares the schemes that a signature file's main section announces with those `found`.
pub(super) fn check(
    main: &[u8],
    file: &str,
    range: SdkRange,
    found: &[u32],
    warnings: &mut Vec<JarWarning>,
) -> Result<(), Error> {
    if range.max < V2_SINCE {
        return Ok(());
    }
    let Some(announced) = attribute(main, ATTRIBUTE) else {
        if !found.is_empty() {
            warnings.push(JarWarning::NoStrippingProtection {
                file: file.to_owned(),
            });
        }
        return Ok(());
    };
    // What is no number is skipped, as devices do.
    for scheme in announced
        .split(',')
        .filter_map(|word| word.trim().parse::<i32>().ok())
    {
        let known: &[u32] = if range.max < V3_SINCE { &[2] } else { &[2, 3] };
        match known.iter().find(|known| i64::from(**known) == i64::from(scheme)) {
            Some(known) if !found.contains(known) => {
                let detail = format!(
                    "it says that APK Signature Scheme v{known} signed this APK too, and there is no such signature: was it stripped?"
                );
                return Err(Error::signature(Rule::JarStripped, file, detail));
            }
            Some(_) => {}
            None => warnings.push(JarWarning::UnknownScheme {
                file: file.to_owned(),
                scheme,
            }),
        }
    }
    Ok(())
}
