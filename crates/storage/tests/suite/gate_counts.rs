//! How the devices of a gate's steps are counted, as polls, downloads and reports come in.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_domain::gate::{Arm, BlindTimes, DeviceOutcome, GateTerms, Segment, StepCounts, Watch};
use tidegate_domain::{Build, DeviceId, Promotion, Report, ReportStatus, RolloutId, Share};
use tidegate_storage::{
    Activity, Fetched, GateAtHand, GateLooks, GateObservation, NewDownload, NewReport, Seen, Store,
};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{
    APP, actor, at, by, downloaded, enroll_many, offered, package, poll, promote, promotion, proven, release,
    report, rollout_of, seen, upload,
};

on_both_engines!(
    counts_are_those_of_a_replay,
    what_comes_before_its_offer_is_not_lost,
    a_batch_that_comes_twice_counts_once,
    a_rollout_without_a_gate_leaves_nothing,
    a_segment_counts_only_its_own,
    what_devices_tell_counts_when_the_rollout_is_complete_too,
);

/// A build that a rollout with a gate offers.
pub(crate) async fn gated(store: &Store, code: i64) -> (Build, RolloutId) {
    let build = upload(store, APP, code).await;
    let gated = Promotion {
        gate: Some(GateTerms::default()),
        ..promotion(10)
    };
    let rollout = rollout_of(&promote(store, &build, gated).await);
    (build, rollout)
}

pub(crate) fn watch(rollout: RolloutId, arm: Arm, segment: u32, step: u16) -> Watch {
    Watch {
        rollout,
        segment,
        step,
        arm,
        takes_at: Share::new(50_000_000).unwrap(),
    }
}

/// Its poll is answered with the build, in this step.
pub(crate) fn treated(
    device: &DeviceId,
    second: i64,
    (build, rollout): (&Build, RolloutId),
    step: u16,
) -> Seen {
    Seen {
        watch: Some(watch(rollout, Arm::Treated, 1, step)),
        ..offered(device, second, rollout, build.id)
    }
}

pub(crate) fn at_hand(rollout: RolloutId, segment: Segment, step: u16, second: i64) -> GateAtHand {
    GateAtHand {
        rollout: rollout.0,
        segment,
        step,
        share: Share::new(10_000_000).unwrap(),
        now: at(second),
    }
}

/// What the gate finds, for the first time.
pub(crate) async fn observe(store: &Store, at: GateAtHand) -> GateObservation {
    let hour = chrono::TimeDelta::hours(6);
    store
        .observe_gate(at, BlindTimes::default(), hour, GateLooks::default())
        .await
        .unwrap()
}

pub(crate) const FIRST: fn() -> Segment = || Segment::first(at(0));

async fn steps(store: &Store, rollout: RolloutId, step: u16) -> Vec<StepCounts> {
    observe(store, at_hand(rollout, FIRST(), step, 100_000))
        .await
        .steps
}

/// Something that happens to a device, at a second of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fact {
    /// It polls, runs this version, and is told this.
    Poll {
        installed: i64,
        offered: bool,
        has_file: bool,
    },
    Sent(Fetched),
    Told(ReportStatus, Option<&'static str>),
}

/// A few numbers that look random, the same each time.
struct Draws(u64);

impl Draws {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % end
    }
}

const VERSION: i64 = 2;

fn fact(draws: &mut Draws) -> Fact {
    match draws.below(10) {
        0 | 1 => Fact::Poll {
            installed: 1,
            offered: true,
            has_file: draws.below(4) == 0,
        },
        2 => Fact::Poll {
            installed: 1,
            offered: false,
            has_file: false,
        },
        3 | 4 => Fact::Poll {
            installed: VERSION,
            offered: false,
            has_file: false,
        },
        5 => {
            let sent = [Fetched::First, Fetched::Some, Fetched::Whole, Fetched::Redirect];
            Fact::Sent(sent[usize::try_from(draws.below(4)).unwrap()])
        }
        6 => Fact::Told(ReportStatus::InstallSuccess, None),
        7 => Fact::Told(ReportStatus::Downloaded, None),
        8 => Fact::Told(ReportStatus::VerifyFailed, None),
        _ => {
            let reasons = [
                None,
                Some("storage_low"),
                Some("signer_mismatch"),
                Some("downgrade_refused"),
            ];
            let reason = reasons[usize::try_from(draws.below(4)).unwrap()];
            Fact::Told(ReportStatus::InstallFailed, reason)
        }
    }
}

/// How a device with this story fares; none before anything proves that it was offered the build.
fn outcome(story: &[(i64, Fact)]) -> Option<DeviceOutcome> {
    let first_success = story
        .iter()
        .find(|(_, fact)| matches!(fact, Fact::Told(ReportStatus::InstallSuccess, _)))
        .map(|(second, _)| *second);
    let mut reached = false;
    let mut found = DeviceOutcome::default();
    let mut failures = 0;
    for (second, fact) in story {
        match *fact {
            Fact::Poll {
                installed,
                offered,
                has_file,
            } => {
                reached |= offered;
                if offered && has_file {
                    (found.begun, found.sent) = (true, true);
                }
                let after = first_success.is_some_and(|success| success < *second);
                found.confirmed |= after && installed == VERSION;
                found.failed |= after && installed < VERSION;
            }
            Fact::Sent(sent) => {
                reached = true;
                found.begun |= sent != Fetched::Some;
                found.sent |= matches!(sent, Fetched::Whole | Fetched::Redirect);
            }
            Fact::Told(status, reason) => {
                reached = true;
                match status {
                    ReportStatus::InstallSuccess | ReportStatus::Downloaded => {
                        (found.begun, found.sent) = (true, true);
                        if status == ReportStatus::InstallSuccess {
                            found.in_trouble = false;
                            failures = 0;
                        }
                    }
                    _ => {
                        found.corrupt |= status == ReportStatus::VerifyFailed;
                        failures += 1;
                        let terminal = reason == Some("signer_mismatch");
                        if reason != Some("downgrade_refused") {
                            found.in_trouble = true;
                            found.failed |= terminal || failures >= 3;
                        }
                    }
                }
            }
        }
    }
    reached.then_some(found)
}

/// What there is to hand in, in batches of what came to one door.
enum Batch {
    Polls(Vec<Seen>),
    Downloads(Vec<NewDownload>),
    Reports(Vec<NewReport>),
}

fn handed_in(
    device: &DeviceId,
    (second, fact): (i64, Fact),
    (build, rollout): (&Build, RolloutId),
    step: u16,
) -> Batch {
    match fact {
        Fact::Poll {
            installed,
            offered,
            has_file,
        } => Batch::Polls(vec![Seen {
            installed: crate::samples::version(installed),
            has_file,
            ..match offered {
                true => treated(device, second, (build, rollout), step),
                false => seen(device, second, installed),
            }
        }]),
        Fact::Sent(sent) => Batch::Downloads(vec![NewDownload {
            sent,
            ..downloaded(device, build.id, rollout, second)
        }]),
        Fact::Told(status, reason) => {
            let told = Report {
                reason: reason.map(str::to_owned),
                request_id: Some(second.to_string()),
                ..report(build.id, status)
            };
            Batch::Reports(vec![proven(device, rollout, told, second)])
        }
    }
}

async fn hand_in(store: &Store, batch: &Batch) {
    match batch {
        Batch::Polls(seen) => poll(store, seen.clone()).await,
        Batch::Downloads(sent) => drop(store.record_downloads(sent.clone()).await.unwrap()),
        Batch::Reports(told) => drop(store.record_reports(told.clone()).await.unwrap()),
    }
}

/// Joins neighbours that came to the same door, as buffers do.
fn joined(batches: Vec<Batch>) -> Vec<Batch> {
    let mut joined: Vec<Batch> = Vec::new();
    for batch in batches {
        match (joined.last_mut(), batch) {
            (Some(Batch::Polls(all)), Batch::Polls(more)) => all.extend(more),
            (Some(Batch::Downloads(all)), Batch::Downloads(more)) => all.extend(more),
            (Some(Batch::Reports(all)), Batch::Reports(more)) => all.extend(more),
            (_, batch) => joined.push(batch),
        }
    }
    joined
}

/// Each device's story in its order, as servers hear it; polls and downloads come late and twice, in whatever order.
async fn counts_are_those_of_a_replay(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = gated(&store, VERSION).await;
    let devices = enroll_many(&store, 240).await;
    let mut draws = Draws(7);
    let mut expected: BTreeMap<u16, StepCounts> = BTreeMap::new();
    let mut stories = Vec::new();
    for (number, device) in devices.iter().enumerate() {
        let facts = 1 + draws.below(12);
        let story: Vec<_> = (1..=facts)
            .map(|second| (i64::try_from(second).unwrap() * 10, fact(&mut draws)))
            .collect();
        // Whatever proves an offer before the offer itself is of the step at hand, which is the first.
        let step = match story.first() {
            Some((_, Fact::Poll { offered: true, .. })) if number % 2 == 0 => 1,
            _ => 0,
        };
        if let Some(outcome) = outcome(&story) {
            let counts = expected.entry(step).or_default();
            counts.reach();
            counts.change(DeviceOutcome::default(), outcome);
        }
        stories.push((device, story, step));
    }
    // In the order of time over all devices. What is sent, and what the next step's devices tell, is written late.
    let mut facts: Vec<_> = stories
        .iter()
        .flat_map(|(device, story, step)| story.iter().map(move |fact| (*fact, *device, *step)))
        .collect();
    facts.sort_by_key(|((second, _), ..)| *second);
    let (mut in_time, mut late, mut first) = (vec![], vec![], BTreeSet::new());
    for (fact, device, step) in facts {
        // All but the first offer, and in the order of time: a poll tells of a success that is written by then.
        let is_late = matches!(fact.1, Fact::Sent(_)) || (step == 1 && !first.insert(device));
        let batch = handed_in(device, fact, (&build, rollout), step);
        if is_late { &mut late } else { &mut in_time }.push(batch);
    }
    let (in_time, late) = (joined(in_time), joined(late));
    for batch in in_time.iter().chain(&late).chain(late.iter().rev()) {
        hand_in(&store, batch).await;
    }
    let counts = steps(&store, rollout, 1).await;
    let wanted: Vec<_> = (0..=1)
        .map(|step| expected.get(&step).copied().unwrap_or_default())
        .collect();
    assert_eq!(counts, wanted);
    assert!(
        wanted
            .iter()
            .all(|step| step.reached > 5 && step.confirmed > 0 && step.failed > 0),
        "the stories tell enough: {wanted:?}"
    );
    // Everything once more says nothing new.
    for batch in in_time.iter().chain(&late) {
        hand_in(&store, batch).await;
    }
    assert_eq!(steps(&store, rollout, 1).await, wanted);
}

async fn what_comes_before_its_offer_is_not_lost(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = gated(&store, 2).await;
    let devices = enroll_many(&store, 2).await;
    let told = proven(
        &devices[0],
        rollout,
        report(build.id, ReportStatus::InstallSuccess),
        10,
    );
    store.record_reports(vec![told]).await.unwrap();
    let first = NewDownload {
        sent: Fetched::First,
        ..downloaded(&devices[1], build.id, rollout, 10)
    };
    assert_eq!(store.record_downloads(vec![first]).await, Ok(0));
    // The polls that were answered with the offer are written later, as are those that tell the version.
    let late = devices
        .iter()
        .map(|device| treated(device, 5, (&build, rollout), 0));
    let mut polls: Vec<Seen> = late.collect();
    polls.push(seen(&devices[0], 20, 2));
    poll(&store, polls).await;
    let expected = StepCounts {
        reached: 2,
        begun: 2,
        sent: 1,
        confirmed: 1,
        ..StepCounts::default()
    };
    assert_eq!(steps(&store, rollout, 0).await, [expected]);
}

async fn a_batch_that_comes_twice_counts_once(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = gated(&store, 2).await;
    let devices = enroll_many(&store, 3).await;
    let batch = Activity {
        seen: devices
            .iter()
            .map(|device| treated(device, 5, (&build, rollout), 0))
            .collect(),
        ..Activity::default()
    };
    for _ in 0..2 {
        store.record_activity(batch.clone()).await.unwrap();
    }
    let file = downloaded(&devices[0], build.id, rollout, 6);
    for _ in 0..2 {
        store
            .record_downloads(vec![file.clone(), file.clone()])
            .await
            .unwrap();
    }
    let found = observe(&store, at_hand(rollout, FIRST(), 0, 10)).await;
    assert_eq!(
        found.steps,
        [StepCounts {
            reached: 3,
            begun: 1,
            sent: 1,
            ..StepCounts::default()
        }]
    );
    assert_eq!((found.lost_arms.treated, found.lost_arms.treated_at_risk), (3, 3));
    let watched = place.number("SELECT watched AS value FROM gate_counts");
    assert_eq!(watched, 3);
}

async fn a_rollout_without_a_gate_leaves_nothing(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let devices = enroll_many(&store, 1).await;
    poll(&store, vec![offered(&devices[0], 1, rollout, build.id)]).await;
    let file = downloaded(&devices[0], build.id, rollout, 2);
    store.record_downloads(vec![file]).await.unwrap();
    let told = proven(
        &devices[0],
        rollout,
        report(build.id, ReportStatus::InstallSuccess),
        3,
    );
    store.record_reports(vec![told]).await.unwrap();
    poll(&store, vec![seen(&devices[0], 4, 2)]).await;
    for question in [
        "SELECT count(*) AS value FROM gate_counts",
        "SELECT count(*) AS value FROM gate_members",
        "SELECT count(*) AS value FROM device_rollouts WHERE gate_segment IS NOT NULL OR begun_at IS NOT NULL
         OR sent_at IS NOT NULL OR succeeded_at IS NOT NULL OR confirmed_at IS NOT NULL",
    ] {
        assert_eq!(place.number(question), 0, "{question}");
    }
    let installed = "SELECT count(*) AS value FROM device_rollouts WHERE installed_at IS NOT NULL";
    assert_eq!(place.number(installed), 1, "what it always left is there");
}

async fn a_segment_counts_only_its_own(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = gated(&store, 2).await;
    let devices = enroll_many(&store, 2).await;
    let of_segment = |device: &DeviceId, second, segment| Seen {
        watch: Some(watch(rollout, Arm::Treated, segment, 0)),
        ..offered(device, second, rollout, build.id)
    };
    poll(&store, vec![of_segment(&devices[0], 1, 1)]).await;
    // It is resumed; the earlier device polls again, and fails.
    poll(
        &store,
        vec![of_segment(&devices[0], 20, 2), of_segment(&devices[1], 21, 2)],
    )
    .await;
    let failed = Report {
        reason: Some("signer_mismatch".into()),
        ..report(build.id, ReportStatus::InstallFailed)
    };
    let file = downloaded(&devices[0], build.id, rollout, 25);
    store.record_downloads(vec![file]).await.unwrap();
    store
        .record_reports(vec![proven(&devices[0], rollout, failed, 30)])
        .await
        .unwrap();
    let second = FIRST().next(at(15));
    let reached = |reached, failed| StepCounts {
        reached,
        begun: failed,
        sent: failed,
        failed,
        in_trouble: failed,
        ..StepCounts::default()
    };
    let found = observe(&store, at_hand(rollout, second, 0, 40)).await;
    assert_eq!(found.steps, [reached(1, 0)]);
    assert_eq!(steps(&store, rollout, 0).await, [reached(1, 1)]);
}

async fn what_devices_tell_counts_when_the_rollout_is_complete_too(place: &Place) {
    let store = place.store().await;
    let build = upload(&store, APP, VERSION).await;
    let to_everybody = Promotion {
        gate: Some(GateTerms::default()),
        ..promotion(100)
    };
    let rollout = rollout_of(&promote(&store, &build, to_everybody).await);
    let devices = enroll_many(&store, 2).await;
    let offers = devices
        .iter()
        .map(|device| treated(device, 10, (&build, rollout), 0));
    poll(&store, offers.collect()).await;
    let success = |device| {
        proven(
            device,
            rollout,
            report(build.id, ReportStatus::InstallSuccess),
            20,
        )
    };
    store
        .record_reports(devices.iter().map(success).collect())
        .await
        .unwrap();
    let complete = move |track: &tidegate_domain::Track, _: &_| track.complete(rollout, by());
    store
        .change_track(package(APP), actor("ann"), complete)
        .await
        .unwrap();
    poll(
        &store,
        vec![seen(&devices[0], 30, VERSION), seen(&devices[1], 30, 1)],
    )
    .await;
    let counted = steps(&store, rollout, 0).await[0];
    assert_eq!((counted.reached, counted.confirmed, counted.failed), (2, 1, 1));
}
