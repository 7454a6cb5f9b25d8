//! A percentage with decimals: a whole one is written without a point, so that whoever reads whole numbers goes on
//! reading them.

use serde::Serializer;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
pub(crate) fn write<S: Serializer>(percent: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is from 0 to 100"
    )]
    if percent.fract() == 0.0 && (0.0..=100.0).contains(percent) {
        serializer.serialize_u8(*percent as u8)
    } else {
        serializer.serialize_f64(*percent)
    }
}

/// The same of one that may be left out.
#[expect(clippy::ref_option, reason = "serde hands out references")]
pub(crate) fn write_given<S: Serializer>(percent: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match percent {
        Some(percent) => write(percent, serializer),
        None => serializer.serialize_none(),
    }
}
