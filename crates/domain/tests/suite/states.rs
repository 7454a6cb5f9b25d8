//! The state machine, all eighty-one pairs of it.

use tidegate_domain::RolloutState::{
    self, Active, Canceled, Completed, Halted, Paused, Proposed, RolledBack, Scheduled, Superseded,
};

/// Where each state leads.
const TABLE: [(RolloutState, &[RolloutState]); 9] = [
    (Proposed, &[Scheduled, Active, Superseded, RolledBack, Canceled]),
    (Scheduled, &[Active, Superseded, RolledBack, Canceled]),
    (
        Active,
        &[Paused, Completed, Halted, Superseded, RolledBack, Canceled],
    ),
    (Paused, &[Active, Completed, Superseded, RolledBack, Canceled]),
    (Completed, &[Paused, Halted, Superseded, RolledBack, Canceled]),
    (Halted, &[Active, Superseded, RolledBack, Canceled]),
    (Superseded, &[]),
    (RolledBack, &[]),
    (Canceled, &[]),
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
        assert_eq!(state.serves(), state.may_become(Canceled), "{state}");
        assert_eq!(
            state.may_become(Scheduled),
            state == Proposed,
            "nothing is scheduled twice"
        );
        assert!(!state.may_become(Proposed), "{state}");
    }
}
