//! The state machine, all forty-nine pairs of it.

use tidegate_domain::RolloutState::{
    self, Active, Completed, Halted, Paused, RolledBack, Scheduled, Superseded,
};

/// Where each state leads.
const TABLE: [(RolloutState, &[RolloutState]); 7] = [
    (Scheduled, &[Active, Superseded, RolledBack]),
    (Active, &[Paused, Completed, Halted, Superseded, RolledBack]),
    (Paused, &[Active, Completed, Superseded, RolledBack]),
    (Completed, &[Paused, Halted, Superseded, RolledBack]),
    (Halted, &[Active, Superseded, RolledBack]),
    (Superseded, &[]),
    (RolledBack, &[]),
];

#[test]
fn a_rollout_goes_where_the_table_says_and_nowhere_else() {
    assert_eq!(TABLE.map(|(from, _)| from), RolloutState::ALL);
    for (from, leads_to) in TABLE {
        for next in RolloutState::ALL {
            assert_eq!(
                from.may_become(next),
                leads_to.contains(&next),
                "{from} to {next}"
            );
        }
    }
}

#[test]
fn what_serves_can_end_and_what_has_ended_stays_so() {
    for state in RolloutState::ALL {
        assert_eq!(state.serves(), state.may_become(Superseded), "{state}");
        assert_eq!(state.serves(), state.may_become(RolledBack), "{state}");
        assert!(!state.may_become(Scheduled), "nothing is scheduled twice");
    }
}
