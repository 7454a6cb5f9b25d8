//! What it costs a poll to be observed: the finished program as it is delivered, with metrics and the log at `info`,
//! against the same program with both switched off, in turn, in one run.
//!
//! The observed server is scraped once a second, fifteen times as often as a Prometheus would. Quote the ratio: the
//! absolute figures include the client, which shares the machine.
#![allow(clippy::print_stdout, reason = "the figures are what this program is for")]

mod load;
#[allow(dead_code, reason = "each benchmark needs its own part of it")]
mod program;

use std::net::SocketAddr;
use std::time::Duration;

use load::{device_in, rate};
use program::Server;
use reqwest::Client;

const ROUNDS: usize = 16;
const SCRAPED_EVERY: Duration = Duration::from_secs(1);

fn main() {
    // `cargo bench` and `cargo test --benches` hand over flags of their own; only the former asks for a run.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    tidegate_gateway::choose_cryptography();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let folder = tempfile::tempdir().expect("a folder");
    let observed = Server::start(&folder.path().join("observed"), &[], None).await;
    let quiet = [("TIDEGATE_METRICS", "false"), ("TIDEGATE_LOG", "off")];
    let unobserved = Server::start(&folder.path().join("unobserved"), &quiet, None).await;
    let scraper = tokio::spawn(scrape(observed.address, observed.admin.clone()));
    for (name, inside) in [("304", false), ("200", true)] {
        let requests = [
            observed.poll(&device_in(inside)).await,
            unobserved.poll(&device_in(inside)).await,
        ];
        compare(name, &observed, &unobserved, &requests).await;
    }
    scraper.abort();
}

async fn compare(name: &str, observed: &Server, unobserved: &Server, requests: &[String; 2]) {
    let mut ratios = Vec::new();
    let (mut with, mut without) = (0.0, 0.0);
    for round in 0..ROUNDS {
        // Who comes second finds a warmer machine.
        if round % 2 == 0 {
            with = rate(observed.address, &requests[0]).await;
            without = rate(unobserved.address, &requests[1]).await;
        } else {
            without = rate(unobserved.address, &requests[1]).await;
            with = rate(observed.address, &requests[0]).await;
        }
        ratios.push(with / without);
    }
    ratios.sort_by(f64::total_cmp);
    let median = f64::midpoint(ratios[ROUNDS / 2 - 1], ratios[ROUNDS / 2]);
    println!(
        "poll {name}, observed: {with:.0}/s, unobserved {without:.0}/s at last, ratio median {median:.3} (quartiles {:.3}, {:.3})",
        ratios[ROUNDS / 4],
        ratios[3 * ROUNDS / 4],
    );
}

async fn scrape(address: SocketAddr, admin: String) {
    let http = Client::new();
    loop {
        let page = http.get(format!("http://{address}/metrics")).bearer_auth(&admin);
        let page = page.send().await.expect("a page").text().await.expect("its text");
        assert!(page.contains("ota_check_total"), "{page}");
        tokio::time::sleep(SCRAPED_EVERY).await;
    }
}
