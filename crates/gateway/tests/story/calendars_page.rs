//! `docs/calendars.md`, taken at its word, as the page of rollouts is.

use tidegate_domain::Role;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer};

use crate::rollouts_page::take_at_its_word;

on_both_engines!(every_example_of_the_page_is_answered_as_the_page_says);

const PAGE: &str = include_str!("../../../../docs/calendars.md");

/// An admin goes through it, as one of its examples is theirs alone.
async fn every_example_of_the_page_is_answered_as_the_page_says(engine: Engine) {
    let server = TestServer::start(engine).await;
    let ada = server.person("ada", Role::Admin);
    for version in [41, 42] {
        ada.uploaded(&apks::build(PACKAGE, version)).await;
    }
    ada.promote(1, 100).await.ok();
    take_at_its_word(PAGE, 14, &ada).await;
}
