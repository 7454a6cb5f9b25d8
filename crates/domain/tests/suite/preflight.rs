//! The safety rules that a device asks before it fetches and before it installs.

use proptest::prelude::*;
use tidegate_domain::{
    Conditions, DeferReason, LOOK_AGAIN, LOOK_AGAIN_SOON, MIN_BATTERY_PERCENT, MIN_FREE_BYTES, Network,
    UpdateNeeds, look_again_after, preflight,
};

use crate::property::check_often;

const PLENTY: Conditions = Conditions {
    battery_percent: 80,
    charging: false,
    free_bytes: 8_000_000_000,
    network: Network::Wifi,
    in_call: false,
};

const SMALL: UpdateNeeds = UpdateNeeds {
    wifi_only: false,
    fetch_bytes: 40_000_000,
    space_bytes: 80_000_000,
};

#[test]
fn a_device_that_lacks_nothing_goes_on() {
    assert_eq!(preflight(&PLENTY, &SMALL), Ok(()));
}

#[test]
fn a_battery_needs_more_than_twenty_percent_or_a_charger() {
    let with = |battery_percent, charging| Conditions {
        battery_percent,
        charging,
        ..PLENTY
    };
    assert_eq!(preflight(&with(21, false), &SMALL), Ok(()));
    assert_eq!(preflight(&with(20, false), &SMALL), Err(DeferReason::BatteryLow));
    assert_eq!(preflight(&with(0, false), &SMALL), Err(DeferReason::BatteryLow));
    assert_eq!(preflight(&with(1, true), &SMALL), Ok(()));
}

#[test]
fn more_than_500_megabytes_stay_free_and_the_file_fits() {
    let with = |free_bytes| Conditions { free_bytes, ..PLENTY };
    assert_eq!(preflight(&with(500_000_001), &SMALL), Ok(()));
    assert_eq!(
        preflight(&with(500_000_000), &SMALL),
        Err(DeferReason::StorageLow)
    );
    let large = UpdateNeeds {
        space_bytes: 2_000_000_000,
        ..SMALL
    };
    assert_eq!(
        preflight(&with(2_000_000_000), &large),
        Err(DeferReason::StorageLow)
    );
    assert_eq!(preflight(&with(2_000_000_001), &large), Ok(()));
}

#[test]
fn nothing_is_done_during_a_call() {
    let calling = Conditions {
        in_call: true,
        ..PLENTY
    };
    assert_eq!(preflight(&calling, &SMALL), Err(DeferReason::InCall));
}

#[test]
fn what_may_come_over_wifi_only_waits_for_it_unless_nothing_has_to_come() {
    let wifi_only = UpdateNeeds {
        wifi_only: true,
        ..SMALL
    };
    let fetched = UpdateNeeds {
        fetch_bytes: 0,
        ..wifi_only
    };
    for network in [Network::None, Network::Mobile] {
        let away = Conditions { network, ..PLENTY };
        assert_eq!(preflight(&away, &wifi_only), Err(DeferReason::WifiRequired));
        assert_eq!(preflight(&away, &fetched), Ok(()));
        assert_eq!(preflight(&away, &SMALL), Ok(()));
    }
    assert_eq!(preflight(&PLENTY, &wifi_only), Ok(()));
}

#[test]
fn of_several_reasons_the_most_lasting_is_named() {
    let bad = Conditions {
        battery_percent: 3,
        charging: false,
        free_bytes: 0,
        network: Network::Mobile,
        in_call: true,
    };
    let wifi_only = UpdateNeeds {
        wifi_only: true,
        ..SMALL
    };
    assert_eq!(preflight(&bad, &wifi_only), Err(DeferReason::StorageLow));
    let with_room = Conditions {
        free_bytes: PLENTY.free_bytes,
        ..bad
    };
    assert_eq!(preflight(&with_room, &wifi_only), Err(DeferReason::BatteryLow));
}

#[test]
fn reasons_have_the_names_that_reports_carry() {
    let names = DeferReason::ALL.map(DeferReason::as_str);
    let safety = ["storage_low", "battery_low", "wifi_required", "in_call"];
    assert_eq!(names[..4], safety);
    assert_eq!(DeferReason::SAFETY.map(DeferReason::as_str), safety);
    let terms = [
        "outside_window",
        "not_charging",
        "not_idle",
        "no_consent",
        "unknown_condition",
    ];
    assert_eq!(names[4..], terms);
    for reason in &DeferReason::ALL[4..] {
        let none = UpdateNeeds {
            wifi_only: true,
            ..SMALL
        };
        assert!(!reason.holds(&PLENTY, &none), "{reason} is no safety rule");
    }
    for reason in DeferReason::ALL {
        assert_eq!(
            serde_json::to_value(reason).unwrap(),
            serde_json::json!(reason.as_str())
        );
    }
}

/// The only thing that urgency changes: the rules are not even given it.
#[test]
fn what_must_be_installed_looks_again_sooner_and_gets_no_exception() {
    assert!(look_again_after(true) < look_again_after(false));
    assert_eq!(look_again_after(true), LOOK_AGAIN_SOON);
    assert_eq!(look_again_after(false), LOOK_AGAIN);
    let minutes = [LOOK_AGAIN_SOON, LOOK_AGAIN].map(|wait| wait.as_secs() / 60);
    assert_eq!(minutes, [1, 15]);
}

fn conditions() -> impl Strategy<Value = Conditions> {
    let network = prop_oneof![Just(Network::None), Just(Network::Mobile), Just(Network::Wifi)];
    let free = prop_oneof![0..=2 * MIN_FREE_BYTES, any::<u64>()];
    (0..=100u8, any::<bool>(), free, network, any::<bool>()).prop_map(
        |(battery_percent, charging, free_bytes, network, in_call)| Conditions {
            battery_percent,
            charging,
            free_bytes,
            network,
            in_call,
        },
    )
}

fn needs() -> impl Strategy<Value = UpdateNeeds> {
    (any::<bool>(), 0..4_000_000_000u64, 0..8_000_000_000u64).prop_map(
        |(wifi_only, fetch_bytes, space_bytes)| UpdateNeeds {
            wifi_only,
            fetch_bytes,
            space_bytes,
        },
    )
}

/// The safety promise in one sentence: a device that goes on breaks none of the rules, as they are written in words
/// and not as they are written in code.
#[test]
fn a_device_that_goes_on_is_safe() {
    check_often(50, &(conditions(), needs()), |(now, what)| {
        if preflight(&now, &what).is_err() {
            return Ok(false);
        }
        prop_assert!(!now.in_call);
        prop_assert!(now.charging || now.battery_percent > MIN_BATTERY_PERCENT);
        prop_assert!(now.free_bytes > MIN_FREE_BYTES && now.free_bytes > what.space_bytes);
        prop_assert!(!what.wifi_only || what.fetch_bytes == 0 || now.network == Network::Wifi);
        Ok(true)
    });
}

/// A reason is never invented: it is one that holds, and none that is named before it does.
#[test]
fn a_reason_is_the_first_that_holds() {
    check_often(250, &(conditions(), needs()), |(now, what)| {
        let mut rules = DeferReason::ALL.into_iter();
        let first = rules.find(|rule| rule.holds(&now, &what));
        prop_assert_eq!(preflight(&now, &what).err(), first);
        Ok(first.is_some())
    });
}

/// Better conditions never give a device a reason to wait that it did not have.
#[test]
fn better_conditions_forbid_nothing() {
    let strategy = (conditions(), needs(), 0..4_000_000_000u64);
    check_often(50, &strategy, |(now, what, more)| {
        let better = Conditions {
            battery_percent: 100,
            charging: true,
            free_bytes: now.free_bytes.saturating_add(more),
            network: Network::Wifi,
            in_call: false,
        };
        let mut still_holds = false;
        for rule in DeferReason::ALL {
            prop_assert!(!rule.holds(&better, &what) || rule.holds(&now, &what));
            still_holds |= rule.holds(&better, &what);
        }
        Ok(still_holds)
    });
}
