//! Measures listing and counting devices over a fleet that `seed` made:
//! `cargo run --release -p tidegate-storage --example lists -- URL`.

#![allow(clippy::disallowed_methods, reason = "it measures real time")]
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "it is a program that prints, and stops at the first fault"
)]

use std::time::Instant;

use chrono::{TimeDelta, Utc};
use tidegate_domain::{BuildId, PackageName, Reason, VersionCode};
use tidegate_storage::{DeviceFilter, DeviceSort, FailureFate, Page, Settings, Store, Told, Trouble};

#[tokio::main]
async fn main() {
    let url = std::env::args().nth(1).expect("usage: lists URL");
    let begun = Instant::now();
    let store = Store::open(&Settings::new(&url)).await.unwrap();
    println!("opened and migrated after {:.1?}", begun.elapsed());
    for (name, filter) in filters() {
        // Once for the pages that the file system has to fetch.
        store.devices(filter.clone(), Page::default()).await.unwrap();
        let begun = Instant::now();
        let page = store.devices(filter.clone(), Page::default()).await.unwrap();
        let listed = begun.elapsed();
        let begun = Instant::now();
        let count = store.count_devices(filter).await.unwrap();
        let counted = begun.elapsed();
        println!(
            "{name:32} page {listed:>9.1?} of {:2}, count {counted:>9.1?} {} {:?}",
            page.items.len(),
            count.devices,
            count.bound
        );
    }
}

fn filters() -> Vec<(&'static str, DeviceFilter)> {
    let none = DeviceFilter::default;
    let some = |text: &str| Some(text.to_owned());
    let package = || Some(PackageName::parse("com.example.app").unwrap());
    let version = |code| VersionCode::new(code).unwrap();
    let trouble = |reason: Option<&str>, fate| {
        Some(Trouble {
            build: BuildId(200),
            reason: reason.map(str::to_owned),
            fate,
        })
    };
    let hours = |hours| Some(Utc::now() - TimeDelta::hours(hours));
    vec![
        ("all", none()),
        (
            "search 0012345",
            DeviceFilter {
                search: some("0012345"),
                ..none()
            },
        ),
        (
            "search 9912",
            DeviceFilter {
                search: some("9912"),
                ..none()
            },
        ),
        (
            "search device",
            DeviceFilter {
                search: some("device"),
                ..none()
            },
        ),
        (
            "search 77",
            DeviceFilter {
                search: some("77"),
                ..none()
            },
        ),
        (
            "search nothing",
            DeviceFilter {
                search: some("device-till"),
                ..none()
            },
        ),
        (
            "model rare",
            DeviceFilter {
                model: some("Tab S6"),
                ..none()
            },
        ),
        (
            "model common",
            DeviceFilter {
                model: some("Tab A9"),
                ..none()
            },
        ),
        (
            "model none",
            DeviceFilter {
                model: some("Tab"),
                ..none()
            },
        ),
        (
            "region",
            DeviceFilter {
                region: some("west"),
                ..none()
            },
        ),
        (
            "sdk 30-31",
            DeviceFilter {
                sdk: Some(30..=31),
                ..none()
            },
        ),
        (
            "version 150-195",
            DeviceFilter {
                package: package(),
                versions: Some(version(150)..=version(195)),
                ..none()
            },
        ),
        (
            "told not_in_cohort",
            DeviceFilter {
                package: package(),
                told: Some(Told::NoUpdate(Reason::NotInCohort)),
                ..none()
            },
        ),
        (
            "silent",
            DeviceFilter {
                silent_since: hours(24),
                ..none()
            },
        ),
        (
            "seen",
            DeviceFilter {
                seen_since: hours(1),
                ..none()
            },
        ),
        (
            "reason",
            DeviceFilter {
                trouble: trouble(Some("storage_low"), None),
                ..none()
            },
        ),
        (
            "failing",
            DeviceFilter {
                trouble: trouble(None, Some(FailureFate::Failing)),
                ..none()
            },
        ),
        (
            "recovered",
            DeviceFilter {
                trouble: trouble(None, Some(FailureFate::Recovered)),
                ..none()
            },
        ),
        (
            "cannot be nudged",
            DeviceFilter {
                can_be_nudged: Some(false),
                ..none()
            },
        ),
        (
            "rare, west, silent",
            DeviceFilter {
                model: some("Tab S6"),
                region: some("west"),
                silent_since: hours(24),
                ..none()
            },
        ),
        (
            "common, west, 30, not nudged",
            DeviceFilter {
                model: some("Tab A9"),
                region: some("west"),
                sdk: Some(30..=30),
                can_be_nudged: Some(false),
                ..none()
            },
        ),
        (
            "common, no such region pair",
            DeviceFilter {
                model: some("Tab A9"),
                region: some("west"),
                manufacturer: some("Example"),
                search: some("Till 99"),
                failing: Some(BuildId(200)),
                ..none()
            },
        ),
        (
            "last seen, newest first",
            DeviceFilter {
                sort: Some(DeviceSort::LastSeen),
                descending: true,
                ..none()
            },
        ),
        (
            "enrolled, oldest first",
            DeviceFilter {
                sort: Some(DeviceSort::Enrolled),
                ..none()
            },
        ),
        (
            "rare by last seen",
            DeviceFilter {
                model: some("Tab S6"),
                sort: Some(DeviceSort::LastSeen),
                ..none()
            },
        ),
        (
            "west by last seen",
            DeviceFilter {
                region: some("west"),
                sort: Some(DeviceSort::LastSeen),
                descending: true,
                ..none()
            },
        ),
        (
            "reason by last seen",
            DeviceFilter {
                trouble: trouble(Some("storage_low"), None),
                sort: Some(DeviceSort::LastSeen),
                ..none()
            },
        ),
    ]
}
