//! The instruments, each with how it is read.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::TimeDelta;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter, MeterProvider as _};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use tidegate_domain::{Reason, ReportStatus};
use tidegate_service::{PlanNumbers, RolloutNumbers, halted_gates, plan_numbers};

use super::{Asked, Sources};

/// What all instruments read.
#[derive(Clone)]
struct Readings {
    meter: Meter,
    sources: Arc<Sources>,
    asked: Arc<Asked>,
}

type Counter<'a> = &'a dyn AsyncInstrument<u64>;
type Gauge<'a> = &'a dyn AsyncInstrument<f64>;

impl Readings {
    /// A number that only rises. The page adds `_total` to its name.
    fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn(&Self, Counter<'_>) + Send + Sync + 'static,
    ) {
        let readings = self.clone();
        self.meter
            .u64_observable_counter(name)
            .with_description(help)
            .with_callback(move |counter| read(&readings, counter))
            .build();
    }

    fn gauge(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn(&Self, Gauge<'_>) + Send + Sync + 'static,
    ) {
        let readings = self.clone();
        self.meter
            .f64_observable_gauge(name)
            .with_description(help)
            .with_callback(move |gauge| read(&readings, gauge))
            .build();
    }
}

/// Makes all of them. They live as long as the provider.
pub(super) fn register(provider: &SdkMeterProvider, sources: &Arc<Sources>, asked: &Arc<Asked>) {
    let readings = Readings {
        meter: provider.meter("tidegate"),
        sources: Arc::clone(sources),
        asked: Arc::clone(asked),
    };
    polls(&readings);
    devices(&readings);
    patches(&readings);
    nudges(&readings);
    releases(&readings);
    plans(&readings);
    server(&readings);
    retention(&readings);
}

fn polls(readings: &Readings) {
    readings.counter(
        "ota_check",
        "Polls that were answered: available with an update, no_update without.",
        |r, counter| {
            let decisions = r.sources.activity.decisions();
            let without = decisions.refused.iter().sum();
            for (status, count) in [("available", decisions.offered), ("no_update", without)] {
                counter.observe(count, &[KeyValue::new("status", status)]);
            }
        },
    );
    readings.counter(
        "ota_poll_decision",
        "What polls were told: offered, or why nothing was.",
        |r, counter| {
            let decisions = r.sources.activity.decisions();
            counter.observe(decisions.offered, &[KeyValue::new("reason", "offered")]);
            for (reason, count) in Reason::ALL.iter().zip(decisions.refused) {
                counter.observe(count, &[KeyValue::new("reason", reason.as_str())]);
            }
        },
    );
    readings.gauge(
        "ota_poll_buffered",
        "Polls that are not written to the database yet.",
        |r, gauge| {
            gauge.observe(count(r.sources.activity.buffered() as u64), &[]);
        },
    );
    readings.gauge(
        "ota_poll_after_stretch",
        "How many times the poll interval devices are told to wait: 1, and more while polls come faster than they are to.",
        |r, gauge| gauge.observe(r.sources.pace.stretch(r.sources.clock.now()), &[]),
    );
    readings.counter(
        "ota_poll_dropped",
        "Polls that were answered and could not be recorded.",
        |r, counter| {
            counter.observe(r.sources.activity.dropped(), &[]);
        },
    );
}

fn patches(readings: &Readings) {
    readings.gauge("ota_patch", "Patches by state.", |r, gauge| {
        for (state, patches) in r.sources.snapshots.patches().by_state() {
            gauge.observe(count(patches), &[KeyValue::new("state", state.as_str())]);
        }
    });
    readings.gauge(
        "ota_patch_bytes",
        "Bytes of all patches that are made and offered.",
        |r, gauge| gauge.observe(count(r.sources.snapshots.patches().bytes()), &[]),
    );
    readings.counter(
        "ota_patch_outcome",
        "What devices said of patches; each attempt counts once.",
        |r, counter| {
            for (outcome, count) in r.sources.counts.patch_outcomes() {
                counter.observe(count, &[KeyValue::new("outcome", outcome.as_str())]);
            }
        },
    );
    readings.counter(
        "ota_patch_saved_bytes",
        "Bytes that devices did not have to fetch because a patch gave them the file.",
        |r, counter| counter.observe(r.sources.counts.patch_saved_bytes(), &[]),
    );
    readings.counter(
        "ota_patch_made",
        "Patches that this server made, also those that are too large.",
        |r, counter| counter.observe(r.sources.counts.patches_made().0, &[]),
    );
    readings.counter(
        "ota_patch_making_seconds",
        "How long making patches took this server.",
        |r, counter| counter.observe(r.sources.counts.patches_made().1.as_secs(), &[]),
    );
}

fn devices(readings: &Readings) {
    readings.counter(
        "ota_download",
        "Files of which every byte went out to a device, over one request or several.",
        |r, counter| {
            for (build, counts) in r.sources.builds(&r.asked.rollouts.load()) {
                let Some(version) = counts.version_code else {
                    continue;
                };
                let labels = [
                    KeyValue::new("build_id", build.0.to_string()),
                    version_label(version.get()),
                ];
                counter.observe(counts.downloads, &labels);
            }
        },
    );
    readings.gauge(
        "ota_download_in_progress",
        "Devices that a file is being sent to.",
        |r, gauge| gauge.observe(count(r.sources.slots.taken() as u64), &[]),
    );
    readings.counter(
        "ota_download_refused",
        "Downloads that were asked to come later, because as many as may be were under way.",
        |r, counter| counter.observe(r.sources.slots.refused(), &[]),
    );
    readings.counter(
        "ota_install",
        "Reported installations; repeated reports count once.",
        |r, counter| {
            for (build, counts) in r.sources.builds(&r.asked.rollouts.load()) {
                for (status, number) in [("success", counts.installed), ("failed", counts.failed)] {
                    let build = KeyValue::new("build_id", build.0.to_string());
                    counter.observe(number, &[build, KeyValue::new("status", status)]);
                }
            }
        },
    );
    readings.counter(
        "ota_verify_failed",
        "Reports of files that did not verify.",
        |r, counter| {
            counter.observe(r.sources.counts.reports(ReportStatus::VerifyFailed), &[]);
        },
    );
    readings.counter(
        "ota_report",
        "Reports of devices, by status; repeated ones count once.",
        |r, counter| {
            for status in ReportStatus::ALL {
                let number = r.sources.counts.reports(status);
                counter.observe(number, &[KeyValue::new("status", status.as_str())]);
            }
        },
    );
    readings.gauge(
        "ota_report_queued",
        "Reports that wait to be written.",
        |r, gauge| {
            gauge.observe(count(r.sources.reports.len() as u64), &[]);
        },
    );
}

fn nudges(readings: &Readings) {
    readings.counter(
        "ota_nudge",
        "Nudges by outcome: sent, failed, or retried, where FCM asked for another try.",
        |r, counter| {
            for (status, count) in r.sources.counts.nudges() {
                counter.observe(count, &[KeyValue::new("status", status)]);
            }
        },
    );
    readings.gauge(
        "ota_nudge_queued",
        "Nudges of unpaused campaigns that wait to be sent.",
        |r, gauge| gauge.observe(count(r.asked.nudges_queued.load(Ordering::Relaxed)), &[]),
    );
    readings.gauge(
        "ota_nudge_held",
        "Campaigns that the server suspended and that nobody has resumed or canceled yet.",
        |r, gauge| gauge.observe(count(r.asked.campaigns_suspended.load(Ordering::Relaxed)), &[]),
    );
}

fn releases(readings: &Readings) {
    let of_rollout = |name, help, read: fn(&RolloutNumbers) -> f64| {
        readings.gauge(name, help, move |r, gauge| {
            for rollout in &**r.asked.rollouts.load() {
                gauge.observe(read(rollout), &labels(rollout));
            }
        });
    };
    of_rollout(
        "ota_rollout_percent",
        "The share of the fleet that a build is offered to, in percent.",
        |rollout| rollout.percent,
    );
    of_rollout(
        "ota_rollout_active",
        "1 while a rollout offers its build, 0 while it is held.",
        |rollout| f64::from(u8::from(rollout.active)),
    );
    of_rollout(
        "ota_rollout_share_ratio",
        "Devices that run a build, of all that have its package; its target is ota_rollout_percent / 100.",
        |rollout| rollout.share,
    );
    of_rollout(
        "ota_adoption_ratio",
        "Devices that installed a build, of those that were offered it.",
        |rollout| rollout.adoption,
    );
    readings.gauge(
        "ota_devices",
        "Devices by what their last poll for a package was told; of a package they add up to all of its devices.",
        |r, gauge| {
            for standings in r.sources.fleet.standings() {
                for (told, devices) in &standings.told {
                    let labels = [
                        KeyValue::new("package_name", standings.package.to_string()),
                        KeyValue::new("told", told.as_str()),
                    ];
                    gauge.observe(count(*devices), &labels);
                }
            }
        },
    );
    readings.gauge(
        "ota_fleet_devices",
        "Devices by their condition with a package; of a package they add up to all of its devices.",
        |r, gauge| {
            for of in r.sources.fleet.conditions().packages {
                for (condition, devices) in &of.conditions {
                    let labels = [
                        KeyValue::new("package_name", of.package.to_string()),
                        KeyValue::new("condition", condition.as_str()),
                    ];
                    gauge.observe(count(*devices), &labels);
                }
            }
        },
    );
    readings.gauge(
        "ota_rollout_overdue_devices",
        "Devices that a rollout offered its build, and that do not run it though its deadline has passed.",
        |r, gauge| {
            for (rollout, devices) in r.sources.fleet.overdue() {
                gauge.observe(
                    count(devices),
                    &[KeyValue::new("rollout_id", rollout.to_string())],
                );
            }
        },
    );
    readings.gauge(
        "ota_policies_holding",
        "Policies that hold devices back now, by those on whom they hang: everybody, a tag or a device.",
        |r, gauge| {
            for (subject, policies) in r.sources.policies.holding() {
                gauge.observe(count(policies), &[KeyValue::new("subject", subject)]);
            }
        },
    );
    readings.gauge(
        "ota_overlay_devices",
        "Devices with tags of the operators' that this server holds in memory.",
        |r, gauge| gauge.observe(count(r.sources.snapshots.overlay_devices() as u64), &[]),
    );
    readings.counter(
        "ota_upload_bytes",
        "Bytes that came in with uploads, kept or not.",
        |r, counter| {
            counter.observe(r.sources.counts.uploaded_bytes(), &[]);
        },
    );
}

fn plans(readings: &Readings) {
    let labels = |of: &PlanNumbers| {
        [
            KeyValue::new("package_name", of.package.to_string()),
            KeyValue::new("rollout_id", of.rollout.0.to_string()),
        ]
    };
    readings.gauge(
        "ota_rollout_phase",
        "1 for what the plan of an active rollout does: ramping, baking, held, waiting_approval, waiting_evidence, stuck, \
         blind or done.",
        move |r, gauge| {
            for of in plan_numbers(&r.sources.snapshots) {
                if let Some(phase) = of.phase {
                    let [package, rollout] = labels(&of);
                    gauge.observe(1.0, &[package, KeyValue::new("phase", phase.as_str()), rollout]);
                }
            }
        },
    );
    readings.gauge(
        "ota_rollout_waiting_approval_seconds",
        "How long something of a rollout has waited for a second person.",
        move |r, gauge| {
            for of in plan_numbers(&r.sources.snapshots) {
                if let Some(waits) = of.waits {
                    gauge.observe(seconds(waits), &labels(&of));
                }
            }
        },
    );
    readings.gauge(
        "ota_gate_halted",
        "1 for a rollout with a gate that is halted, by its gate or by hand, and waits for a person.",
        |r, gauge| {
            for (package, rollout) in halted_gates(&r.sources.snapshots) {
                let labels = [
                    KeyValue::new("package_name", package.to_string()),
                    KeyValue::new("rollout_id", rollout.0.to_string()),
                ];
                gauge.observe(1.0, &labels);
            }
        },
    );
    readings.gauge(
        "ota_plan_late_seconds",
        "By how much the step of a plan that is due next is late; some seconds at most while a server runs.",
        |r, gauge| {
            let numbers = plan_numbers(&r.sources.snapshots);
            let latest = numbers.iter().map(|of| of.late).max();
            gauge.observe(latest.map_or(0.0, seconds), &[]);
        },
    );
    readings.gauge(
        "ota_clock_offset_seconds",
        "By how much the database's clock is ahead of this server's. Plans and expiries go by the database's.",
        |r, gauge| gauge.observe(seconds(r.sources.snapshots.clock_ahead()), &[]),
    );
}

fn seconds(time: TimeDelta) -> f64 {
    time.as_seconds_f64()
}

fn server(readings: &Readings) {
    readings.gauge(
        "ota_catalog_version",
        "The number of the catalog that polls are answered from.",
        |r, gauge| {
            gauge.observe(count(r.sources.snapshots.catalog_version().unsigned_abs()), &[]);
        },
    );
    readings.gauge(
        "ota_catalog_age_seconds",
        "Since the database last said that there is no newer catalog.",
        |r, gauge| gauge.observe(r.sources.snapshots.catalog_age().as_secs_f64(), &[]),
    );
    readings.gauge(
        "ota_database_connections_in_use",
        "Connections that are at work.",
        |r, gauge| {
            for pool in r.sources.store.pools() {
                gauge.observe(count(pool.in_use as u64), &[KeyValue::new("pool", pool.pool)]);
            }
        },
    );
    readings.gauge(
        "ota_database_connections_max",
        "Connections that can be at work at once.",
        |r, gauge| {
            for pool in r.sources.store.pools() {
                gauge.observe(count(pool.size as u64), &[KeyValue::new("pool", pool.pool)]);
            }
        },
    );
    readings.gauge(
        "ota_disk_free_bytes",
        "What is free on the disk of the database, the reserve not counted. With SQLite.",
        |r, gauge| {
            if let Some(disk) = r.sources.store.disk() {
                gauge.observe(count(disk.free_bytes), &[]);
            }
        },
    );
    readings.gauge(
        "ota_disk_reserve_held",
        "1 while room is kept for a full disk, 0 while only urgent writes are taken. With SQLite.",
        |r, gauge| {
            if let Some(disk) = r.sources.store.disk() {
                gauge.observe(f64::from(u8::from(disk.reserve_held)), &[]);
            }
        },
    );
    readings.gauge(
        "ota_key_rotation_open",
        "1 while a second master key is accepted.",
        |r, gauge| {
            gauge.observe(f64::from(u8::from(r.sources.rotating)), &[]);
        },
    );
    readings.gauge(
        "ota_build_info",
        "Always 1; the labels say what runs.",
        |r, gauge| {
            let labels = [
                KeyValue::new("version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("database", r.sources.store.engine_name()),
            ];
            gauge.observe(1.0, &labels);
        },
    );
}

fn retention(readings: &Readings) {
    readings.gauge(
        "ota_devices_uncounted",
        "Devices that no count has: retired, or inactive because they had not polled for long.",
        |r, gauge| {
            let overview = r.sources.fleet.overview();
            for (why, devices) in [("inactive", overview.inactive), ("retired", overview.retired)] {
                gauge.observe(count(devices), &[KeyValue::new("why", why)]);
            }
        },
    );
    readings.counter(
        "ota_retention_removed",
        "Rows that this server removed after their time; of stories, the devices.",
        |r, counter| {
            for (kind, rows) in r.sources.counts.removals() {
                counter.observe(rows, &[KeyValue::new("kind", kind)]);
            }
        },
    );
    readings.gauge(
        "ota_retention_last_run_timestamp_seconds",
        "When this server last ended a look for what is old; absent before the first.",
        |r, gauge| match r.sources.counts.retention_ran_at() {
            0 => {}
            at => gauge.observe(count(at.unsigned_abs()), &[]),
        },
    );
}

fn labels(rollout: &RolloutNumbers) -> [KeyValue; 3] {
    [
        KeyValue::new("build_id", rollout.build.0.to_string()),
        version_label(rollout.version_code.get()),
        KeyValue::new("package_name", rollout.package.to_string()),
    ]
}

fn version_label(version: i64) -> KeyValue {
    KeyValue::new("version_code", version.to_string())
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn count(number: u64) -> f64 {
    number as f64
}
