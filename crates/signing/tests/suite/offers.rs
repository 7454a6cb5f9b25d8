//! An offer is proven by the device that it was made to, and for nothing else.

use tidegate_domain::{BuildId, RolloutId};
use tidegate_signing::{KeyRing, MasterKey, OfferClaim};

use crate::{bit_flips, fresh_ring, known_ring};

const OFFER: OfferClaim<'static> = OfferClaim {
    device: "Gerät-ü",
    rollout: RolloutId(7),
    build: BuildId(42),
    attempt: 1,
};

#[test]
fn an_offer_is_proven_by_its_own_text() {
    let text = known_ring().sign_offer(&OFFER);
    assert_eq!(text, "tKkOMcqQWMwIIzHtLkyd3Be0YR38Bfs486mIjGyUmyU");
    assert!(known_ring().proves_offer(&OFFER, &text));
}

#[test]
fn another_device_rollout_build_or_attempt_is_not_proven() {
    let text = known_ring().sign_offer(&OFFER);
    let others = [
        OfferClaim {
            device: "Gerät-u",
            ..OFFER
        },
        OfferClaim {
            rollout: RolloutId(8),
            ..OFFER
        },
        OfferClaim {
            build: BuildId(43),
            ..OFFER
        },
        OfferClaim { attempt: 2, ..OFFER },
        OfferClaim {
            rollout: RolloutId(42),
            build: BuildId(7),
            ..OFFER
        },
    ];
    for other in others {
        assert!(!known_ring().proves_offer(&other, &text), "{other:?}");
    }
}

#[test]
fn an_altered_text_proves_nothing() {
    let text = known_ring().sign_offer(&OFFER);
    for altered in bit_flips(&text) {
        assert!(!known_ring().proves_offer(&OFFER, &altered), "{altered}");
    }
    for nonsense in ["", "x", &text[1..], &format!("{text}=")] {
        assert!(!known_ring().proves_offer(&OFFER, nonsense), "{nonsense}");
    }
}

#[test]
fn an_offer_of_another_server_proves_nothing_and_one_of_the_key_before_does() {
    let text = known_ring().sign_offer(&OFFER);
    assert!(!fresh_ring().proves_offer(&OFFER, &text));
    let (old, new) = (MasterKey::generate().unwrap(), MasterKey::generate().unwrap());
    let text = KeyRing::new(&old, None).sign_offer(&OFFER);
    assert!(KeyRing::new(&new, Some(&old)).proves_offer(&OFFER, &text));
    assert!(!KeyRing::new(&new, None).proves_offer(&OFFER, &text));
}
