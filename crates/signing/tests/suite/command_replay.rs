//! A good command at the wrong time, or for the second time.

use chrono::TimeDelta;
use tidegate_signing::{Command, CommandError, MAX_SEEN_COMMANDS};

use crate::commands::{agent, update};
use crate::{KNOWN_TIME, at};

#[test]
fn a_command_is_taken_up_to_five_minutes_late_and_no_later() {
    let command = update("req-1", KNOWN_TIME);
    assert_eq!(agent().verify(&command, at(KNOWN_TIME + 300)), Ok(()));
    assert_eq!(
        agent().verify(&command, at(KNOWN_TIME + 301)),
        Err(CommandError::Stale)
    );
}

#[test]
fn a_command_from_a_clock_in_the_future_is_taken_within_the_window_only() {
    let command = update("req-1", KNOWN_TIME);
    assert_eq!(agent().verify(&command, at(KNOWN_TIME - 300)), Ok(()));
    assert_eq!(
        agent().verify(&command, at(KNOWN_TIME - 301)),
        Err(CommandError::Stale)
    );
}

#[test]
fn the_window_is_a_setting() {
    let mut agent = agent().with_window(TimeDelta::seconds(10));
    assert_eq!(
        agent.verify(&update("a", KNOWN_TIME), at(KNOWN_TIME + 11)),
        Err(CommandError::Stale)
    );
    assert_eq!(
        agent.verify(&update("b", KNOWN_TIME), at(KNOWN_TIME + 10)),
        Ok(())
    );
}

#[test]
fn a_command_is_taken_once_whenever_it_comes_again() {
    let mut agent = agent();
    let command = update("req-1", KNOWN_TIME);
    assert_eq!(agent.verify(&command, at(KNOWN_TIME - 300)), Ok(()));
    for later in [-300, 0, 299, 300] {
        let verdict = agent.verify(&command, at(KNOWN_TIME + later));
        assert_eq!(verdict, Err(CommandError::Replayed), "after {later} s");
    }
    assert_eq!(
        agent.verify(&command, at(KNOWN_TIME + 301)),
        Err(CommandError::Stale)
    );
}

#[test]
fn a_request_id_that_is_signed_again_is_a_replay() {
    let mut agent = agent();
    assert_eq!(agent.verify(&update("req-1", KNOWN_TIME), at(KNOWN_TIME)), Ok(()));
    let again = update("req-1", KNOWN_TIME + 60);
    assert_eq!(
        agent.verify(&again, at(KNOWN_TIME + 60)),
        Err(CommandError::Replayed)
    );
}

#[test]
fn a_refused_command_does_not_use_up_its_id() {
    let mut agent = agent();
    let good = update("req-1", KNOWN_TIME);
    let forged = Command {
        hmac: "0".repeat(64),
        ..good.clone()
    };
    assert_eq!(agent.verify(&forged, at(KNOWN_TIME)), Err(CommandError::Forged));
    assert_eq!(agent.verify(&good, at(KNOWN_TIME)), Ok(()));
}

#[test]
fn a_clock_that_is_set_back_brings_no_forgotten_command_back() {
    let mut agent = agent();
    let old = update("old", KNOWN_TIME);
    assert_eq!(agent.verify(&old, at(KNOWN_TIME)), Ok(()));
    let year_later = KNOWN_TIME + 31_536_000;
    assert_eq!(agent.verify(&update("leap", year_later), at(year_later)), Ok(()));
    assert_eq!(agent.verify(&old, at(KNOWN_TIME)), Err(CommandError::Stale));
    let fresh = update("fresh", KNOWN_TIME + 1);
    assert_eq!(
        agent.verify(&fresh, at(KNOWN_TIME + 1)),
        Ok(()),
        "a newer command still is"
    );
}

#[test]
fn the_memory_is_bounded_refuses_more_and_frees_itself() {
    let mut agent = agent();
    for n in 0..MAX_SEEN_COMMANDS {
        assert_eq!(
            agent.verify(&update(&format!("req-{n}"), KNOWN_TIME), at(KNOWN_TIME)),
            Ok(())
        );
    }
    let more = update("more", KNOWN_TIME);
    assert_eq!(agent.verify(&more, at(KNOWN_TIME)), Err(CommandError::TooMany));
    let first = update("req-0", KNOWN_TIME);
    assert_eq!(
        agent.verify(&first, at(KNOWN_TIME)),
        Err(CommandError::Replayed),
        "nothing was forgotten"
    );
    let later = KNOWN_TIME + 301;
    assert_eq!(agent.verify(&update("later", later), at(later)), Ok(()));
}
