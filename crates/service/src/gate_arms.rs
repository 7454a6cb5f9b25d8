//! Which devices the gates of rollouts watch already, as far as this replica knows.
//!
//! A member's later polls are to write nothing more, and for some hours it is to poll often, whichever replica it asks. So
//! each replica keeps the members in memory: read from the table, and grown by its own polls in between. What is missing
//! here costs a write that changes nothing; the table alone says who is in which arm.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use papaya::HashMap;
use tidegate_domain::gate::{Arm, DENSE_PHASE, WATCHED_FOR, Watch};
use tidegate_domain::{DeviceId, RolloutId};
use tidegate_storage::{KnownMember, Store};

use crate::Error;

/// How many members of one rollout are kept in memory.
pub(crate) const MAX_KNOWN_MEMBERS: usize = 200_000;

/// How many of one arm are read at once.
const READ_AT_ONCE: u32 = 100_000;

/// What came in so long before the last reading is read again: replicas write with a delay, and their clocks differ.
const OVERLAP: TimeDelta = TimeDelta::minutes(2);

/// The members of the rollouts that have a gate.
#[derive(Default)]
pub(crate) struct GateArms {
    rollouts: HashMap<RolloutId, HashMap<DeviceId, Entry>>,
    /// The rollouts of which all members were read, and when that was.
    read: Mutex<(HashSet<RolloutId>, Option<DateTime<Utc>>)>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    arm: Arm,
    step: u16,
    entered: DateTime<Utc>,
    /// Whether the table has it.
    written: bool,
}

impl Entry {
    /// Whether a poll brings it into an arm anew: what the table does with it, see `gate_entries`.
    fn gives_way_to(&self, watch: &Watch) -> bool {
        self.arm == Arm::Control && (watch.arm == Arm::Treated || watch.step > self.step)
    }
}

/// What gates make of a poll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Watched {
    /// The device is in the arm already that the poll would bring it into.
    pub is_member: bool,
    /// It entered an arm within the last hours.
    pub entered_lately: bool,
}

impl GateArms {
    /// Takes note of a poll about a package of which these rollouts have a gate.
    pub(crate) fn poll(
        &self,
        device_id: &str,
        watch: Option<&Watch>,
        gated: impl Iterator<Item = RolloutId>,
        now: DateTime<Utc>,
    ) -> Watched {
        let mut watched = Watched::default();
        let rollouts = self.rollouts.pin();
        if let Some(watch) = watch {
            let members = rollouts.get_or_insert_with(watch.rollout, HashMap::new).pin();
            match members.get(device_id).filter(|entry| !entry.gives_way_to(watch)) {
                Some(entry) => watched.is_member = entry.written,
                None if members.len() < MAX_KNOWN_MEMBERS => {
                    if let Ok(device) = DeviceId::parse(device_id) {
                        let (arm, step) = (watch.arm, watch.step);
                        members.insert(
                            device,
                            Entry {
                                arm,
                                step,
                                entered: now,
                                written: false,
                            },
                        );
                    }
                }
                None => {}
            }
        }
        watched.entered_lately = gated.into_iter().any(|rollout| {
            let entry = rollouts
                .get(&rollout)
                .and_then(|members| members.pin().get(device_id).copied());
            entry.is_some_and(|entry| now < entry.entered + DENSE_PHASE)
        });
        watched
    }

    /// Reads who entered since the last time, and forgets rollouts that have no gate any more.
    pub(crate) async fn catch_up(
        &self,
        store: &Store,
        gated: &HashSet<RolloutId>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let (read, last) = self.read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (known, new): (Vec<_>, Vec<_>) =
            gated.iter().copied().partition(|rollout| read.contains(rollout));
        for (rollouts, since) in [
            (new, now - WATCHED_FOR),
            (known, last.map_or(now - WATCHED_FOR, |last| last - OVERLAP)),
        ] {
            if !rollouts.is_empty() {
                let members = store.gate_members_since(rollouts, since, READ_AT_ONCE).await?;
                self.add(members);
            }
        }
        self.forget(gated, now);
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = (gated.clone(), Some(now));
        Ok(())
    }

    fn add(&self, members: Vec<KnownMember>) {
        let rollouts = self.rollouts.pin();
        for member in members {
            let known = rollouts.get_or_insert_with(member.rollout, HashMap::new).pin();
            if known.len() < MAX_KNOWN_MEMBERS || known.contains_key(&member.device) {
                let entry = Entry {
                    arm: member.arm,
                    step: member.step,
                    entered: member.entered,
                    written: true,
                };
                known.insert(member.device, entry);
            }
        }
    }

    fn forget(&self, gated: &HashSet<RolloutId>, now: DateTime<Utc>) {
        let rollouts = self.rollouts.pin();
        rollouts.retain(|rollout, _| gated.contains(rollout));
        for (_, members) in &rollouts {
            members.pin().retain(|_, entry| now < entry.entered + WATCHED_FOR);
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_domain::Share;

    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    fn watch(arm: Arm, step: u16) -> Watch {
        Watch {
            rollout: RolloutId(1),
            segment: 1,
            step,
            arm,
            takes_at: Share::WHOLE,
        }
    }

    fn poll(arms: &GateArms, watch: Option<Watch>, minutes: i64) -> Watched {
        arms.poll("phone", watch.as_ref(), [RolloutId(1)].into_iter(), at(minutes))
    }

    fn written(arm: Arm, step: u16, minutes: i64) -> KnownMember {
        KnownMember {
            rollout: RolloutId(1),
            device: DeviceId::parse("phone").unwrap(),
            arm,
            step,
            entered: at(minutes),
        }
    }

    #[test]
    fn an_entry_is_written_until_the_table_is_known_to_have_it() {
        let arms = GateArms::default();
        assert_eq!(poll(&arms, None, 0), Watched::default());
        let entered = |is_member| Watched {
            is_member,
            entered_lately: true,
        };
        assert_eq!(poll(&arms, Some(watch(Arm::Control, 0)), 0), entered(false));
        assert_eq!(
            poll(&arms, Some(watch(Arm::Control, 0)), 1),
            entered(false),
            "it may be lost yet"
        );
        arms.add(vec![written(Arm::Control, 0, 0)]);
        assert_eq!(poll(&arms, Some(watch(Arm::Control, 0)), 2), entered(true));
        // Whatever it is told, and in either arm alike: for three hours.
        assert_eq!(poll(&arms, None, 179), entered(false));
        assert_eq!(poll(&arms, None, 180), Watched::default());
    }

    #[test]
    fn control_enters_anew_and_the_treated_stay() {
        let arms = GateArms::default();
        arms.add(vec![written(Arm::Control, 0, 0)]);
        assert!(!poll(&arms, Some(watch(Arm::Control, 1)), 600).is_member);
        arms.add(vec![written(Arm::Control, 1, 600)]);
        assert!(poll(&arms, Some(watch(Arm::Control, 1)), 601).is_member);
        let treated = poll(&arms, Some(watch(Arm::Treated, 1)), 900);
        assert!(!treated.is_member && treated.entered_lately);
        arms.add(vec![written(Arm::Treated, 1, 900)]);
        for watch in [watch(Arm::Treated, 2), watch(Arm::Control, 3)] {
            assert!(poll(&arms, Some(watch), 1_200).is_member);
        }
    }

    #[test]
    fn what_no_gate_watches_is_forgotten() {
        let arms = GateArms::default();
        arms.add(vec![written(Arm::Treated, 0, 0)]);
        arms.forget(&HashSet::from([RolloutId(1)]), at(7 * 24 * 60 - 1));
        assert!(poll(&arms, Some(watch(Arm::Treated, 0)), 0).is_member);
        arms.forget(&HashSet::from([RolloutId(1)]), at(7 * 24 * 60));
        assert!(!poll(&arms, Some(watch(Arm::Treated, 0)), 0).is_member);
        arms.add(vec![written(Arm::Treated, 0, 0)]);
        arms.forget(&HashSet::new(), at(0));
        assert!(!poll(&arms, Some(watch(Arm::Treated, 0)), 0).is_member);
    }
}
