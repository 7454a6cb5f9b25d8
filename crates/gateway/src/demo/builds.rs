//! The two sample apps and their builds: made and signed here, taken in by the server like anybody's.

use serde_json::{Value, json};
use tidegate_apk::build::ApkBuilder;
use tidegate_simulator::Population;
use tidegate_simulator::population::{Failure, Model};

use super::guide;
use super::home::Home;
use super::operator::Operator;
use crate::Error;

/// A sample build.
pub(super) struct Sample {
    pub(super) version_code: i64,
    pub(super) version_name: &'static str,
    notes: &'static str,
    /// Incompressible bytes in it, so that a download takes a moment.
    padding: usize,
}

/// A sample app, and the devices that run it.
pub(super) struct App {
    pub(super) package: &'static str,
    /// What its devices are called, before their number.
    pub(super) devices: &'static str,
    /// What the devices come with from the factory; the server never saw it.
    pub(super) factory_version: i64,
    /// The first goes to everybody, the second by its plan, and the third is left to whoever is watching.
    pub(super) builds: [Sample; 3],
    /// What more than this fails of the second one halts it, in percent.
    tolerated: f64,
    /// Shares of its plan in percent, and how many hours the ramp to each and the bake after it last.
    steps: &'static [(u8, u8, u8)],
}

/// An app whose second build is good.
pub(super) const PHONES: App = App {
    package: "com.example.tidepool",
    devices: "phone",
    factory_version: 90,
    builds: [
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
    ],
    // The usual fleet has devices that give any build up: about two in a hundred.
    tolerated: 5.0,
    steps: &[(25, 3, 12), (50, 6, 48), (75, 12, 72), (100, 24, 48)],
};

/// An app whose second build is bad: it needs a library that one model does not have.
pub(super) const KIOSKS: App = App {
    package: "com.example.tidepool.kiosk",
    devices: "kiosk",
    factory_version: 290,
    builds: [
        Sample {
            version_code: 300,
            version_name: "3.0.0",
            notes: "The first release for kiosks.",
            padding: 300_000,
        },
        Sample {
            version_code: 310,
            version_name: "3.1.0",
            notes: "Maps in three dimensions.",
            padding: 400_000,
        },
        Sample {
            version_code: 311,
            version_name: "3.1.1",
            notes: "Maps in three dimensions, without the library that the Kiosk 8 lacks.",
            padding: 400_000,
        },
    ],
    tolerated: 2.0,
    steps: &[(40, 2, 24), (70, 6, 24), (100, 12, 24)],
};

/// The model that refuses the bad build.
const OLD_KIOSK: &str = "Kiosk 8";

impl App {
    /// The version that a build is called by.
    pub(super) fn name(&self, version_code: i64) -> &'static str {
        let sample = self
            .builds
            .iter()
            .find(|sample| sample.version_code == version_code);
        sample.map_or("a build", |sample| sample.version_name)
    }

    /// How the second build is released: by a plan, and a gate that halts it and then waits for a person.
    pub(super) fn terms(&self) -> Value {
        let steps = self.steps.iter().map(|(percent, over, bake)| {
            json!({ "percent": percent, "over": format!("{over}h"), "bake": format!("{bake}h") })
        });
        json!({
            "plan": { "steps": steps.collect::<Vec<_>>() },
            "gate": { "mode": "act", "failed_percent": self.tolerated },
            "on_halt": "hold",
            "keep_previous": true,
        })
    }

    /// Its devices: those of the simulator's usual fleet that are of its kind.
    pub(super) fn population(&self) -> Result<Population, tidegate_simulator::Error> {
        let mut population = Population::usual()?;
        population.factory_version = self.factory_version;
        let is_kiosk = |model: &Model| model.tags.iter().any(|tag| tag == "kiosk");
        let are_kiosks = self.devices == KIOSKS.devices;
        population.models.retain(|model| is_kiosk(model) == are_kiosks);
        if are_kiosks {
            let old = population.models.iter().map(|model| Model {
                name: OLD_KIOSK.to_owned(),
                share: model.share * 0.9,
                ..model.clone()
            });
            let old: Vec<Model> = old.collect();
            population.models.extend(old);
            population.failures.push(Failure {
                version_code: Some(self.builds[1].version_code),
                model: Some(OLD_KIOSK.to_owned()),
                share: 1.0,
                status: 7,
                message: "INSTALL_FAILED_MISSING_SHARED_LIBRARY".to_owned(),
                tries: 0,
            });
        }
        Ok(population)
    }
}

/// Uploads the builds of an app that the server does not have yet.
pub(super) async fn upload_missing(app: &App, operator: &Operator, home: &Home) -> Result<(), Error> {
    let package = app.package;
    let builds = operator
        .list(&format!("/v1/apk?package_name={package}&page_size=500"))
        .await?;
    for sample in &app.builds {
        if builds
            .iter()
            .any(|build| build["version_code"] == sample.version_code)
        {
            continue;
        }
        let apk = ApkBuilder::new(package, sample.version_code)
            .version_name(sample.version_name)
            .padding(sample.padding)
            .sign(home.signing_key())
            .map_err(|fault| Error::Demo(fault.to_string()))?;
        let (name, bytes) = (sample.version_name, apk.len());
        guide::say(&format!("uploading {package} {name} ({bytes} bytes)"));
        operator.upload(apk, sample.notes).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_kiosks_of_one_model_refuse_the_bad_build() {
        let phones = PHONES.population().unwrap();
        assert!(phones.models.iter().all(|model| !model.name.starts_with("Kiosk")));
        let bad = Some(KIOSKS.builds[1].version_code);
        assert!(phones.failures.iter().all(|failure| failure.version_code != bad));

        let kiosks = KIOSKS.population().unwrap();
        let names: Vec<&str> = kiosks.models.iter().map(|model| model.name.as_str()).collect();
        assert_eq!(names, ["Kiosk 10", OLD_KIOSK]);
        let bad = kiosks.failures.iter().find(|failure| failure.version_code == bad);
        assert_eq!(bad.unwrap().model.as_deref(), Some(OLD_KIOSK));
    }
}
