//! One behaviour, two places: each case runs over a local folder and over a real S3 server on loopback.

#![expect(clippy::unwrap_used, reason = "a test may panic, its surroundings too")]

mod cases;
mod fixture;
mod killed;
mod settings;
mod signed;
mod trouble;
mod witnessed;

use fixture::Fixture;

macro_rules! on_both {
    ($($case:ident),+ $(,)?) => {
        mod folder {
            $(#[tokio::test] async fn $case() { super::cases::$case(&super::Fixture::folder()).await; })+
        }
        mod s3 {
            $(#[tokio::test] async fn $case() { super::cases::$case(&super::Fixture::s3().await).await; })+
        }
    };
}

on_both!(
    an_upload_becomes_a_blob_under_its_hash,
    an_empty_upload_is_a_blob_too,
    a_large_blob_comes_back_whole,
    the_same_bytes_twice_are_one_blob,
    two_commits_at_the_same_time_are_one_blob,
    a_resumed_download_gives_the_same_bytes,
    a_range_past_the_end_is_refused_with_the_size,
    a_missing_blob_is_named,
    an_abandoned_upload_leaves_nothing,
    an_upload_over_the_limit_leaves_nothing,
    a_removed_blob_is_gone_and_removing_again_is_fine,
    a_working_store_is_ready,
    all_blobs_are_listed_and_nothing_else,
    an_upload_leaves_the_headroom_free,
);
