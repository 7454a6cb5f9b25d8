//! Campaigns: their state machine, and what an order may ask for.

use std::time::Duration;

use tidegate_domain::CampaignState::{self, Canceled, Completed, Paused, Queued, Running};
use tidegate_domain::{
    ActionResult, CampaignId, DeviceId, Error, MAX_ACTION_BYTES, MAX_MESSAGE_BYTES, MAX_NAMED_DEVICES,
    MAX_NUDGE_TTL, MAX_OUTCOME_BYTES, MAX_REQUEST_ID_BYTES, NudgeAudience, NudgeOrder, PackageName,
    RolloutId,
};

use crate::fleet::at;

/// Where each state leads.
const TABLE: [(CampaignState, &[CampaignState]); 5] = [
    (Queued, &[Running, Paused, Canceled, Completed]),
    (Running, &[Paused, Canceled, Completed]),
    (Paused, &[Running, Canceled, Completed]),
    (Canceled, &[]),
    (Completed, &[]),
];

#[test]
fn a_campaign_goes_where_the_table_says_and_nowhere_else() {
    assert_eq!(TABLE.map(|(from, _)| from), CampaignState::ALL);
    for (from, leads_to) in TABLE {
        for next in CampaignState::ALL {
            assert_eq!(
                from.may_become(next),
                leads_to.contains(&next),
                "{from} to {next}"
            );
        }
        assert_eq!(from.is_live(), !leads_to.is_empty(), "{from}");
    }
}

#[test]
fn a_verb_that_is_repeated_changes_nothing_and_one_that_comes_too_late_is_refused() {
    let id = CampaignId(7);
    assert_eq!(Running.go(id, Paused), Ok(Some(Paused)));
    for state in CampaignState::ALL {
        assert_eq!(state.go(id, state), Ok(None), "{state}");
    }
    assert_eq!(
        Queued.go(id, Running),
        Ok(None),
        "what has not begun is not resumed"
    );
    for (from, leads_to) in TABLE {
        for next in CampaignState::ALL {
            if next == from || (from, next) == (Queued, Running) {
                continue;
            }
            let expected = leads_to.contains(&next).then_some(Some(next));
            assert_eq!(from.go(id, next).ok(), expected, "{from} to {next}");
        }
    }
    let late = Completed.go(id, Canceled).unwrap_err();
    assert_eq!(late.code(), "wrong_state");
    assert_eq!(
        late.to_string(),
        "campaign 7 is completed and cannot become canceled"
    );
}

fn devices(count: usize) -> Vec<DeviceId> {
    (0..count)
        .map(|n| DeviceId::parse(&format!("d{n}")).unwrap())
        .collect()
}

fn field(order: NudgeOrder) -> &'static str {
    match order.checked() {
        Err(Error::Invalid { field, .. }) => field,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_order_names_each_device_once_and_not_more_than_it_may() {
    let everybody = NudgeOrder::everybody();
    assert_eq!(everybody.clone().checked(), Ok(everybody));
    let named = |devices| NudgeOrder {
        devices: Some(devices),
        ..NudgeOrder::everybody()
    };
    let mut twice = devices(3);
    twice.reverse();
    twice.extend(devices(2));
    assert_eq!(named(twice).checked().unwrap().devices, Some(devices(3)));
    assert!(named(devices(MAX_NAMED_DEVICES)).checked().is_ok());
    assert_eq!(field(named(devices(MAX_NAMED_DEVICES + 1))), "device_ids");
    assert_eq!(
        field(named(vec![])),
        "device_ids",
        "an empty list must not mean everybody"
    );
}

#[test]
fn an_order_is_refused_by_the_name_of_its_field() {
    let for_ms = |ms| NudgeOrder {
        ttl: Duration::from_millis(ms),
        ..NudgeOrder::everybody()
    };
    let longest = u64::try_from(MAX_NUDGE_TTL.as_millis()).unwrap();
    for ms in [1_000, longest] {
        assert_eq!(for_ms(ms).checked(), Ok(for_ms(ms)));
    }
    for ms in [0, 1, 1_500, longest + 1_000, 100 * longest] {
        assert_eq!(field(for_ms(ms)), "ttl_s", "{ms}");
    }
    let mut behind = NudgeOrder {
        audience: NudgeAudience::Behind,
        ..NudgeOrder::everybody()
    };
    assert_eq!(field(behind.clone()), "package_name");
    behind.package = Some(PackageName::parse("com.example.app").unwrap());
    assert!(behind.checked().is_ok());
}

#[test]
fn a_rollouts_order_is_for_those_behind_it_alone() {
    let (package, rollout) = (PackageName::parse("com.example.app").unwrap(), RolloutId(7));
    let behind = NudgeOrder::behind(package.clone(), rollout);
    let expected = NudgeOrder {
        package: Some(package),
        audience: NudgeAudience::Behind,
        rollout: Some(rollout),
        ..NudgeOrder::everybody()
    };
    assert_eq!(behind, expected);
    assert_eq!(behind.clone().checked(), Ok(behind.clone()));
    let everybody = NudgeOrder {
        audience: NudgeAudience::All,
        ..behind
    };
    assert_eq!(field(everybody), "audience");
}

#[test]
fn an_order_tells_its_life_in_seconds() {
    let order = NudgeOrder {
        ttl: Duration::from_secs(90),
        ..NudgeOrder::everybody()
    };
    assert_eq!(serde_json::to_value(order).unwrap()["ttl_s"], 90);
}

#[test]
fn a_devices_answer_to_a_command_is_bounded() {
    let text = |bytes| "a".repeat(bytes);
    let longest = ActionResult {
        request_id: text(MAX_REQUEST_ID_BYTES),
        action: text(MAX_ACTION_BYTES),
        outcome: text(MAX_OUTCOME_BYTES),
        message: Some(text(MAX_MESSAGE_BYTES)),
        finished_at: at(0),
    };
    assert_eq!(longest.check(), Ok(()));
    let silent = ActionResult {
        message: None,
        ..longest.clone()
    };
    assert_eq!(silent.check(), Ok(()));
    type Word = fn(&mut ActionResult) -> &mut String;
    let words: [(&str, Word); 3] = [
        ("request_id", |result| &mut result.request_id),
        ("action", |result| &mut result.action),
        ("outcome", |result| &mut result.outcome),
    ];
    let refused = |result: &ActionResult| match result.check() {
        Err(Error::Invalid { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    for (name, word) in words {
        let mut result = longest.clone();
        word(&mut result).push('a');
        assert_eq!(refused(&result), name);
        for bad in ["", "a\nb", "\u{7f}"] {
            *word(&mut result) = bad.to_owned();
            assert_eq!(refused(&result), name, "{bad:?}");
        }
    }
    let mut wordy = longest;
    wordy.message = Some(text(MAX_MESSAGE_BYTES + 1));
    assert_eq!(refused(&wordy), "message");
}
