//! The sample builds: made and signed here, taken in by the server like anybody's.

use tidegate_apk::build::ApkBuilder;

use super::home::Home;
use super::operator::Operator;
use super::{PACKAGE, guide};
use crate::Error;

/// A sample build.
pub(super) struct Sample {
    pub(super) version_code: i64,
    pub(super) version_name: &'static str,
    notes: &'static str,
    /// Incompressible bytes in it, so that a download takes a moment.
    padding: usize,
}

/// What the devices come with from the factory; the server never saw it.
pub(super) const FACTORY_VERSION: i64 = 90;

/// The three builds.
pub(super) const SAMPLES: [Sample; 3] = [
    Sample {
        version_code: 100,
        version_name: "1.0.0",
        notes: "The first release.",
        padding: 300_000,
    },
    Sample {
        version_code: 110,
        version_name: "1.1.0",
        notes: "Tide tables for all harbours.",
        padding: 400_000,
    },
    Sample {
        version_code: 120,
        version_name: "1.2.0",
        notes: "Works without a network.",
        padding: 500_000,
    },
];

/// Uploads the samples that the server does not have yet.
pub(super) async fn upload_missing(operator: &Operator, home: &Home) -> Result<(), Error> {
    let builds = operator
        .list(&format!("/v1/apk?package_name={PACKAGE}&page_size=500"))
        .await?;
    for sample in &SAMPLES {
        if builds
            .iter()
            .any(|build| build["version_code"] == sample.version_code)
        {
            continue;
        }
        let apk = ApkBuilder::new(PACKAGE, sample.version_code)
            .version_name(sample.version_name)
            .padding(sample.padding)
            .sign(home.signing_key())
            .map_err(|fault| Error::Demo(fault.to_string()))?;
        guide::say(&format!(
            "uploading {PACKAGE} {} ({} bytes)",
            sample.version_name,
            apk.len()
        ));
        operator.upload(apk, sample.notes).await?;
    }
    Ok(())
}
