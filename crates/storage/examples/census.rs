//! How long counting a large fleet takes, in a database that the example `seed` filled:
//! `cargo run --release -p tidegate-storage --example census -- FILE`.

#![allow(clippy::disallowed_methods, reason = "it measures real time")]
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "it is a program that prints, and stops at the first fault"
)]

use std::time::Instant;

use chrono::{TimeDelta, Utc};
use tidegate_storage::{Condition, DeviceFilter, Page, Settings, Store};

const TIMES: u32 = 5;

#[tokio::main]
async fn main() {
    let url = std::env::args().nth(1).expect("usage: census FILE");
    let store = Store::open(&Settings::new(&url)).await.unwrap();
    let silent_before = Utc::now() - TimeDelta::hours(24);
    for _ in 0..TIMES {
        let begun = Instant::now();
        let census = store.census(silent_before).await.unwrap();
        println!("{:.0?} for {} devices", begun.elapsed(), census.devices);
    }
    let census = store.census(silent_before).await.unwrap();
    for package in census.packages {
        println!("{}: {:?}", package.package, package.conditions);
        for condition in Condition::ALL {
            let filter = DeviceFilter {
                package: Some(package.package.clone()),
                condition: Some((condition, silent_before)),
                ..DeviceFilter::default()
            };
            let begun = Instant::now();
            let page = Page::new(Some(50), None).unwrap();
            let first = store.devices(filter, page).await.unwrap();
            let devices = first.items.len();
            println!("{condition}: {devices} listed in {:.1?}", begun.elapsed());
        }
    }
}
