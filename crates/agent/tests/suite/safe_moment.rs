//! The safe moment: windows, conditions and deadlines of the installation, on phones whose clocks are wrong.

use std::sync::{Arc, LazyLock};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_agent::domain::DeferReason;
use tidegate_agent::{InstallOutcome, MemoryStore, Phase};
use tidegate_testkit::apks::{self, PACKAGE};

use crate::phone::{Facts, Held, Phone, fingerprint_of, open, settle};
use crate::stage::{Stage, credentials};

static OLD: LazyLock<Vec<u8>> = LazyLock::new(|| apks::build(PACKAGE, 1));
static NEW: LazyLock<Vec<u8>> = LazyLock::new(|| apks::build(PACKAGE, 2));

/// The longest sleep of an agent's loop.
const LOOK: TimeDelta = TimeDelta::minutes(15);

fn begin() -> DateTime<Utc> {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn after(minutes: i64) -> DateTime<Utc> {
    begin() + TimeDelta::minutes(minutes)
}

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Openings as a manifest tells them; in minutes after the beginning.
fn openings(minutes: &[(i64, i64)]) -> Value {
    let opening =
        |(from, until): &(i64, i64)| json!({ "from": text(after(*from)), "until": text(after(*until)) });
    minutes.iter().map(opening).collect()
}

/// A phone and its server, each with a clock. The server's is right.
struct World {
    truth: DateTime<Utc>,
    /// How far the phone's clock is ahead.
    skew: TimeDelta,
    device: &'static str,
    stage: Arc<Stage>,
    phone: Arc<Phone>,
    agent: Option<Held<Arc<Stage>, MemoryStore>>,
    /// When the new version was installed.
    installed: Option<DateTime<Utc>>,
}

impl World {
    fn new(terms: &Value, skew: TimeDelta) -> Self {
        Self::of("phone-1", terms, skew)
    }

    fn of(device: &'static str, terms: &Value, skew: TimeDelta) -> Self {
        let stage = Stage::offering(&NEW);
        let phone = Phone::with(1, fingerprint_of(&OLD));
        let mut world = Self {
            truth: begin(),
            skew,
            device,
            stage,
            phone,
            agent: None,
            installed: None,
        };
        world.offer(terms);
        world.turn_clocks();
        world.restart();
        world
    }

    /// The server offers the build on these terms from now on.
    fn offer(&mut self, terms: &Value) {
        let mut script = self.stage.script();
        let manifest = script.offer.as_mut().unwrap().as_object_mut().unwrap();
        manifest.insert("protocol".to_owned(), json!(2));
        for (name, value) in terms.as_object().unwrap() {
            manifest.insert(name.clone(), value.clone());
        }
    }

    fn turn_clocks(&self) {
        self.stage.script().date = Some(self.truth);
        self.phone.facts().now = self.truth + self.skew;
    }

    /// Somebody sets the phone's clock.
    fn set_clock(&mut self, skew: TimeDelta) {
        self.skew = skew;
        self.turn_clocks();
    }

    fn restart(&mut self) {
        let store = self
            .agent
            .take()
            .map_or_else(MemoryStore::default, Held::into_store);
        let stage = Arc::clone(&self.stage);
        self.agent = Some(open(
            &self.phone,
            "https://stage",
            self.device,
            &credentials(),
            stage,
            store,
        ));
    }

    fn agent(&mut self) -> &mut Held<Arc<Stage>, MemoryStore> {
        self.agent.as_mut().unwrap()
    }

    async fn settle(&mut self) -> Phase {
        let next = settle(self.agent()).await;
        if self.phone.version() == Some(2) {
            self.installed.get_or_insert(self.truth);
        }
        next.phase
    }

    /// Time passes, as an agent's loop lives it.
    async fn live_until(&mut self, end: DateTime<Utc>) -> Phase {
        loop {
            let next = settle(self.agent()).await;
            if self.phone.version() == Some(2) {
                self.installed.get_or_insert(self.truth);
            }
            if self.truth >= end {
                return next.phase;
            }
            let sleep = (next.at - (self.truth + self.skew)).clamp(TimeDelta::seconds(1), LOOK);
            self.truth = end.min(self.truth + sleep);
            self.turn_clocks();
        }
    }

    fn change(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.phone.facts());
    }

    fn told(&self, reason: DeferReason) -> bool {
        self.stage.has_been_told("deferred", reason.as_str())
    }

    fn downloads(&self) -> usize {
        self.stage.script().downloads.len()
    }
}

const SKEWS: [TimeDelta; 5] = [
    TimeDelta::zero(),
    TimeDelta::hours(1),
    TimeDelta::hours(-1),
    TimeDelta::days(1),
    TimeDelta::days(-1),
];

/// A window in three hours, a clock that is wrong from the start and is set to another wrong time before, in and after the
/// download's end, with and without a restart in between.
#[tokio::test]
async fn a_wrong_clock_moves_no_installation_out_of_its_window_and_none_is_missed() {
    let terms = json!({ "install_openings": openings(&[(180, 300), (1_620, 1_740)]) });
    for from in SKEWS {
        for to in SKEWS {
            for set_after in [0, 60, 170] {
                for restarts in [false, true] {
                    let case = format!("{from} to {to} after {set_after} minutes, restart: {restarts}");
                    let mut world = World::new(&terms, from);
                    let phase = world.settle().await;
                    assert_eq!(phase, Phase::Waiting(DeferReason::OutsideWindow), "{case}");
                    world.live_until(after(set_after)).await;
                    world.set_clock(to);
                    if restarts {
                        world.restart();
                    }
                    world.live_until(after(300)).await;
                    let installed = world
                        .installed
                        .unwrap_or_else(|| panic!("{case}: it missed its window"));
                    assert!(
                        (after(180)..after(300)).contains(&installed),
                        "{case}: {installed}"
                    );
                    assert_eq!(world.downloads(), 1, "{case}");
                    assert!(world.told(DeferReason::OutsideWindow), "{case}");
                    assert_eq!(world.stage.told().len(), 3, "{case}: each thing is told once");
                }
            }
        }
    }
}

fn jumps() -> impl Strategy<Value = Vec<(i64, i64, bool)>> {
    let jump = (0..4_320_i64, -2_880..2_880_i64, any::<bool>());
    proptest::collection::vec(jump, 0..6).prop_map(|mut jumps| {
        jumps.sort_unstable();
        jumps
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is done to the clock and the process within three days, and however often the server is polled.
    #[test]
    fn no_history_of_a_clock_leads_to_an_installation_outside_of_the_windows(
        mut windows in proptest::collection::vec((30..4_320_i64, 1..360_i64), 1..5),
        skew in -2_880..2_880_i64,
        jumps in jumps(),
        poll_after in prop::sample::select(vec![1_800_u64, 21_600, 86_400]),
        must_install in any::<bool>(),
    ) {
        windows.sort_unstable();
        let windows: Vec<(i64, i64)> = windows.into_iter().map(|(from, length)| (from, from + length)).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let world = runtime.block_on(async {
            let terms = json!({ "install_openings": openings(&windows), "must_install": must_install });
            let mut world = World::new(&terms, TimeDelta::minutes(skew));
            world.stage.script().poll_after = poll_after;
            for (at, skew, restarts) in jumps {
                world.live_until(after(at)).await;
                world.set_clock(TimeDelta::minutes(skew));
                if restarts {
                    world.restart();
                }
            }
            world.live_until(after(4_800)).await;
            world
        });
        prop_assert_eq!(world.downloads(), 1);
        if let Some(installed) = world.installed {
            let is_open = |(from, until): &(i64, i64)| (after(*from)..after(*until)).contains(&installed);
            prop_assert!(windows.iter().any(is_open), "installed at {}", installed);
        }
    }
}

/// A clock that nobody sets, however wrong, costs no window that is longer than a look of the agent's loop.
#[tokio::test]
async fn a_clock_that_is_wrong_all_the_time_misses_no_window() {
    for length in [30, 90, 480] {
        for skew in SKEWS {
            let terms = json!({ "install_openings": openings(&[(600, 600 + length)]) });
            let mut world = World::new(&terms, skew);
            world.live_until(after(600 + length)).await;
            assert!(world.installed.unwrap() >= after(600), "{length} {skew}");
        }
    }
}

/// A clock is set while the file is fetched, or while the process sleeps between the poll and the installation: the server is
/// asked for the time once more.
#[tokio::test]
async fn a_clock_that_is_set_between_poll_and_installation_is_noticed_before_it() {
    for (truth, skew) in [(90, 60), (90, 1_440), (250, -120)] {
        let terms = json!({ "install_openings": openings(&[(120, 240)]) });
        let mut world = World::new(&terms, TimeDelta::zero());
        while world.agent().phase() != Phase::Installing {
            world.agent().step().await;
        }
        world.truth = after(truth);
        world.set_clock(TimeDelta::minutes(skew));
        assert_eq!(
            world.settle().await,
            Phase::Waiting(DeferReason::OutsideWindow),
            "{skew}"
        );
        assert_eq!(world.installed, None, "{skew}");
        assert!(world.stage.script().polls.len() > 1, "{skew}");
    }
}

/// A server without a clock: the device's own has to do.
#[tokio::test]
async fn an_agent_that_was_told_no_time_uses_its_own_clock() {
    let terms = json!({ "install_openings": openings(&[(180, 300)]) });
    let mut world = World::new(&terms, TimeDelta::zero());
    world.stage.script().date = None;
    let next = settle(world.agent()).await;
    assert_eq!(next.phase, Phase::Waiting(DeferReason::OutsideWindow));
    assert!((after(180)..after(240)).contains(&next.at), "{next:?}");
    world.change(|facts| facts.now = next.at);
    settle(world.agent()).await;
    assert_eq!(world.phone.version(), Some(2));
}

/// Each device comes at its own moment of the first half; urgent ones come early, and not one comes before it opens.
#[tokio::test]
async fn devices_come_spread_over_the_first_half_of_an_opening() {
    let devices = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for (must_install, spread) in [(false, 60), (true, 5)] {
        let mut moments = std::collections::BTreeSet::new();
        for device in devices {
            let terms = json!({ "install_openings": openings(&[(180, 300)]), "must_install": must_install });
            let mut world = World::of(device, &terms, TimeDelta::hours(-5));
            let moment = settle(world.agent()).await.at - world.skew;
            assert!(
                (after(180)..=after(180 + spread)).contains(&moment),
                "{device}: {moment}"
            );
            moments.insert(moment);
        }
        assert_eq!(moments.len(), devices.len());
    }
}

/// No opening is known, or all that were are over: the file is kept, polls go on at their interval, and one of them tells the
/// next opening.
#[tokio::test]
async fn a_file_that_arrives_after_its_window_is_kept_for_the_next() {
    for known in [
        openings(&[]),
        openings(&[(-300, -60)]),
        openings(&[(60, 60), (90, 80)]),
    ] {
        let mut world = World::new(&json!({ "install_openings": known }), TimeDelta::zero());
        let phase = world.live_until(after(3_000)).await;
        assert_eq!(phase, Phase::Waiting(DeferReason::OutsideWindow), "{known}");
        let polls = world.stage.script().polls.clone();
        assert!((8..=10).contains(&polls.len()), "{known}: {}", polls.len());
        let sha256 = world.stage.script().offer.as_ref().unwrap()["sha256"].clone();
        let fetched = format!("fetched={}", sha256.as_str().unwrap());
        assert!(!polls[0].contains(&fetched), "nothing is here yet");
        assert!(polls[1..].iter().all(|poll| poll.contains(&fetched)), "{polls:?}");

        world.offer(&json!({ "install_openings": openings(&[(4_000, 4_060)]) }));
        world.live_until(after(4_060)).await;
        assert!(
            (after(4_000)..after(4_060)).contains(&world.installed.unwrap()),
            "{known}"
        );
        assert_eq!(world.downloads(), 1, "{known}");
    }
}

/// An open window is used at once, and a manifest without any means any time.
#[tokio::test]
async fn an_open_window_is_used_at_once() {
    for terms in [json!({}), json!({ "install_openings": openings(&[(-5, 5)]) })] {
        let mut world = World::new(&terms, TimeDelta::days(1));
        world.settle().await;
        assert_eq!(world.installed, Some(begin()), "{terms}");
    }
}

#[tokio::test]
async fn what_is_taken_back_while_it_waits_for_its_window_is_not_installed() {
    for reason in ["halted", "no_current_build", "paused"] {
        let terms = json!({ "install_openings": openings(&[(600, 900)]) });
        let mut world = World::new(&terms, TimeDelta::zero());
        world.settle().await;
        world.stage.script().offer = Err(reason);
        world.live_until(after(900)).await;
        assert_eq!(world.installed, None, "{reason}");
        assert_eq!(world.agent().phase(), Phase::Idle);
        assert_eq!(world.downloads(), 1);
    }
}

/// What must be installed waits for its window as well, and a safety rule holds in it.
#[tokio::test]
async fn no_urgency_overrides_a_window_and_no_window_a_safety_rule() {
    let terms = json!({ "install_openings": openings(&[(60, 240)]), "must_install": true });
    let mut world = World::new(&terms, TimeDelta::hours(1));
    assert_eq!(
        world.live_until(after(59)).await,
        Phase::Waiting(DeferReason::OutsideWindow)
    );
    world.change(|facts| facts.in_call = true);
    assert_eq!(
        world.live_until(after(120)).await,
        Phase::Waiting(DeferReason::InCall)
    );
    assert_eq!(world.installed, None);
    world.change(|facts| facts.in_call = false);
    world.live_until(after(125)).await;
    assert!(world.installed.unwrap() >= after(120));
}

/// Each condition: what the phone lacks, what it is told to lack, and what is missing.
#[tokio::test]
async fn each_condition_is_waited_for_and_told_once() {
    type Facet = fn(&mut Facts);
    let conditions: [(&str, DeferReason, Facet); 5] = [
        ("charging", DeferReason::NotCharging, |facts| {
            facts.charging = true;
        }),
        ("idle", DeferReason::NotIdle, |facts| facts.idle = Some(true)),
        ("app_consents", DeferReason::NoConsent, |facts| {
            facts.consents = Some(true);
        }),
        ("idle", DeferReason::NotIdle, |facts| {
            (facts.idle, facts.consents) = (Some(true), Some(false));
        }),
        ("app_consents", DeferReason::NoConsent, |facts| {
            (facts.idle, facts.consents) = (Some(false), Some(true));
        }),
    ];
    for (name, reason, meet) in conditions {
        let mut world = World::new(&json!({ "install_when": [name] }), TimeDelta::zero());
        assert_eq!(
            world.live_until(after(600)).await,
            Phase::Waiting(reason),
            "{name}"
        );
        let deferred = ("deferred".to_owned(), reason.to_string());
        let downloaded = ("downloaded".to_owned(), String::new());
        assert_eq!(world.stage.told(), [downloaded, deferred], "{name}");
        world.change(meet);
        world.agent().look_again().unwrap();
        world.settle().await;
        assert_eq!(world.installed, Some(after(600)), "{name}: as soon as it is told");
        assert_eq!(world.downloads(), 1);
    }
}

#[tokio::test]
async fn all_conditions_have_to_hold_and_what_is_said_to_be_not_so_does_not() {
    let terms = json!({ "install_when": ["charging", "idle", "app_consents"] });
    let mut world = World::new(&terms, TimeDelta::zero());
    for (charging, idle, consents, reason) in [
        (false, Some(true), Some(true), DeferReason::NotCharging),
        (true, Some(false), Some(true), DeferReason::NotIdle),
        (true, None, Some(true), DeferReason::NotIdle),
        (true, Some(true), Some(false), DeferReason::NoConsent),
        (true, Some(true), None, DeferReason::NoConsent),
    ] {
        world.change(|facts| (facts.charging, facts.idle, facts.consents) = (charging, idle, consents));
        world.agent().look_again().unwrap();
        assert_eq!(world.settle().await, Phase::Waiting(reason));
    }
    world.change(|facts| facts.consents = Some(true));
    world.agent().look_again().unwrap();
    world.settle().await;
    assert_eq!(world.installed, Some(begin()));
}

/// Conditions lapse at the deadline, by the server's clock, also those that this agent does not know. Windows and safety rules
/// do not.
#[tokio::test]
async fn after_the_deadline_conditions_lapse_and_nothing_else_does() {
    for (condition, reason) in [
        ("charging", DeferReason::NotCharging),
        ("idle", DeferReason::NotIdle),
        ("app_consents", DeferReason::NoConsent),
        ("moon_is_full", DeferReason::UnknownCondition),
    ] {
        for skew in SKEWS {
            let terms = json!({ "install_when": [condition], "install_deadline": text(after(300)) });
            let mut world = World::new(&terms, skew);
            assert_eq!(
                world.live_until(after(299)).await,
                Phase::Waiting(reason),
                "{condition} {skew}"
            );
            world.live_until(after(320)).await;
            let installed = world.installed.unwrap();
            assert!(installed >= after(300), "{condition} {skew}: {installed}");
        }
    }
    let terms = json!({
        "install_when": ["charging"], "install_deadline": text(after(-1)), "install_openings": openings(&[(300, 400)]),
    });
    let mut world = World::new(&terms, TimeDelta::zero());
    assert_eq!(
        world.live_until(after(299)).await,
        Phase::Waiting(DeferReason::OutsideWindow)
    );
    world.change(|facts| facts.battery = 20);
    assert_eq!(
        world.live_until(after(380)).await,
        Phase::Waiting(DeferReason::BatteryLow)
    );
    assert_eq!(world.installed, None);
}

/// Without a deadline, a condition that this agent does not know is waited for until the operator drops it.
#[tokio::test]
async fn an_unknown_condition_without_a_deadline_never_holds() {
    let mut world = World::new(&json!({ "install_when": ["moon_is_full"] }), TimeDelta::zero());
    let phase = world.live_until(after(10_000)).await;
    assert_eq!(phase, Phase::Waiting(DeferReason::UnknownCondition));
    world.offer(&json!({ "install_when": [] }));
    world.live_until(after(10_400)).await;
    assert!(world.installed.is_some());
}

/// An operator moves the deadline of an offer that the device has already.
#[tokio::test]
async fn a_deadline_that_was_moved_is_heeded_at_the_next_poll() {
    let terms = json!({ "install_when": ["charging"], "install_deadline": text(after(9_000)) });
    let mut world = World::new(&terms, TimeDelta::zero());
    world.live_until(after(30)).await;
    world.offer(&json!({ "install_deadline": text(after(60)) }));
    world.live_until(after(361)).await;
    assert_eq!(world.installed, Some(after(360)), "polls are six hours apart");
}

/// The file outlives a restart between download and window, and a failed installation in the window.
#[tokio::test]
async fn a_failure_in_the_window_is_tried_again_in_the_window() {
    let terms = json!({ "install_openings": openings(&[(60, 240), (1_500, 1_600)]) });
    let mut world = World::new(&terms, TimeDelta::zero());
    world.live_until(after(30)).await;
    world.restart();
    world.change(|facts| {
        facts
            .answers
            .push(InstallOutcome::failure(6, "INSTALL_FAILED_INSUFFICIENT_STORAGE"));
    });
    world.live_until(after(240)).await;
    assert_eq!(world.phone.facts().asked, [2, 2]);
    assert!((after(60)..after(240)).contains(&world.installed.unwrap()));
    assert_eq!(world.downloads(), 1);
}

/// A manifest is kept in the agent's state, so what it may hold is bounded.
#[tokio::test]
async fn a_manifest_with_too_many_terms_is_not_taken() {
    let many: Vec<String> = (0..65).map(|number| format!("condition-{number}")).collect();
    for terms in [
        json!({ "install_when": many }),
        json!({ "install_when": ["x".repeat(65)] }),
        json!({ "install_openings": openings(&[(1, 2); 65]) }),
        json!({ "install_deadline": "soon" }),
        json!({ "install_openings": [{ "from": "2026-11-23T12:00:00Z" }] }),
    ] {
        let mut world = World::new(&terms, TimeDelta::zero());
        assert_eq!(world.settle().await, Phase::Idle, "{terms}");
        assert_eq!(world.downloads(), 0, "{terms}");
    }
}
