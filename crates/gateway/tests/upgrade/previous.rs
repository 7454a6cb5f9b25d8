//! The data of the previous release, in a place of their own.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use flate2::read::GzDecoder;
use serde_json::Value;
use tidegate_gateway::Config;
use tidegate_signing::MasterKey;
use tidegate_testkit::clock::ManualClock;
use tidegate_testkit::postgres;
use tidegate_testkit::server::{Engine, TestServer};

/// The number of the last migration that the previous release knew.
pub(crate) const LAST_MIGRATION: &str = "0003";

/// What was recorded beside the data.
pub(crate) struct Recorded {
    /// When.
    pub at: DateTime<Utc>,
    /// The devices' tokens.
    pub tokens: HashMap<String, String>,
    /// One with which devices may still enrol.
    pub enrollment_token: String,
    /// Of the user `ann`.
    pub password: String,
    /// Requests, each with its answer.
    pub exchanges: Vec<Value>,
}

impl Recorded {
    pub(crate) fn read(engine: Engine) -> Self {
        let name = format!("{}.expected.jsonl.gz", name(engine));
        let lines = BufReader::new(unpacked(&name)).lines();
        let mut lines = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        let facts = lines.next().unwrap();
        let text = |field: &str| facts[field].as_str().unwrap().to_owned();
        Self {
            at: text("recorded_at").parse().unwrap(),
            tokens: serde_json::from_value(facts["tokens"].clone()).unwrap(),
            enrollment_token: text("enrollment_token"),
            password: text("password"),
            exchanges: lines.collect(),
        }
    }

    /// This server on the data, at the time at which they were recorded.
    pub(crate) async fn server(&self, engine: Engine) -> TestServer {
        let clock = ManualClock::at(self.at);
        TestServer::start_at(engine, clock, |config| restore(engine, config)).await
    }
}

fn name(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => "sqlite",
        Engine::Postgres => "postgres",
    }
}

pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/previous")
        .join(name)
}

fn unpacked(name: &str) -> GzDecoder<File> {
    GzDecoder::new(File::open(data(name)).unwrap())
}

/// Puts key, files and tables where the settings say.
fn restore(engine: Engine, config: &mut Config) {
    let key = fs::read_to_string(data("test-only-master.key")).unwrap();
    config.master_key = Some(MasterKey::from_text(&key).unwrap());
    copy(&data("artifacts"), &config.data_dir.join("artifacts"));
    match engine {
        Engine::Sqlite => {
            let mut file = vec![];
            unpacked("sqlite.db.gz").read_to_end(&mut file).unwrap();
            fs::write(config.data_dir.join("tidegate.db"), file).unwrap();
        }
        Engine::Postgres => postgres::load(&config.database.url, &data("postgres.sql")),
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::write(to, fs::read(from).unwrap()).unwrap();
        }
    }
}
