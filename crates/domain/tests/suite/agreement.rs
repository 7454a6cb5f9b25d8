//! For any catalog and any device: the explanation is that of the decision, and an offer breaks no rule.

use proptest::prelude::*;
use tidegate_domain::{
    Audience, BuildId, Catalog, Decision, PollRequest, Reason, Rejection, Release, RolloutState, Signers,
    decide, explain,
};

use crate::fleet::{at, build, catalog_with, percent, poll, release, version};

/// A device and all it may state, owned so that a poll can borrow it.
#[derive(Clone, Debug)]
struct Device {
    id: String,
    installed: i64,
    sdk: Option<u32>,
    region: Option<&'static str>,
    model: Option<&'static str>,
    abis: Option<&'static str>,
    rejections: Vec<Rejection>,
}

impl Device {
    fn request(&self) -> PollRequest<'_> {
        PollRequest {
            sdk: self.sdk,
            region: self.region,
            model: self.model,
            abis: self.abis,
            rejections: &self.rejections,
            ..poll(&self.id, self.installed)
        }
    }
}

fn signers() -> impl Strategy<Value = Signers> {
    prop_oneof![3 => Just(0xaa_u8), 1 => Just(0xbb)]
        .prop_map(|byte| Signers::one(tidegate_domain::SignerFingerprint([byte; 32])))
}

fn audiences() -> impl Strategy<Value = Audience> {
    prop_oneof![
        3 => Just(Audience::default()),
        1 => Just(Audience { regions: vec!["DE".to_owned()], models: vec![] }),
        1 => Just(Audience { regions: vec![], models: vec!["Pixel".to_owned()] }),
    ]
}

fn releases() -> impl Strategy<Value = Release> {
    let abis = prop_oneof![2 => Just(vec![]), 1 => Just(vec!["arm64-v8a".to_owned()])];
    let state = prop_oneof![
        4 => Just(RolloutState::Active),
        1 => prop::sample::select(&RolloutState::ALL[..]),
    ];
    let salt = prop_oneof![2 => Just(None), 1 => Just(Some("salt".to_owned()))];
    let facts = (1..6_i64, signers(), 20..36_u32, abis);
    (
        facts,
        state,
        0..=100_i64,
        salt,
        audiences(),
        any::<bool>(),
        1..4_u32,
    )
        .prop_map(
            |(
                (id, signers, min_sdk, abis),
                state,
                share,
                salt,
                audience,
                force_downgrade,
                retry_generation,
            )| {
                let mut build = build(id);
                build.facts.signers = signers;
                build.facts.min_sdk = min_sdk;
                build.facts.abis = abis;
                let mut release = release(build);
                let spec = &mut release.rollout.spec;
                spec.state = state;
                spec.retry_generation = retry_generation;
                spec.settings.percent = percent(share);
                spec.settings.salt = salt;
                spec.settings.audience = audience;
                spec.settings.force_downgrade = force_downgrade;
                release
            },
        )
}

fn rejections() -> impl Strategy<Value = Vec<Rejection>> {
    let one =
        (1..6_i64, 1..4_u32, prop::option::of(0..200_i64)).prop_map(|(build, retry_generation, until)| {
            Rejection {
                build: BuildId(build),
                retry_generation,
                until: until.map(at),
            }
        });
    prop::collection::vec(one, 0..3)
}

fn devices() -> impl Strategy<Value = Device> {
    let stated = |values: &'static [&'static str]| prop::option::of(prop::sample::select(values));
    (
        "[a-z0-9-]{1,20}",
        0..70_i64,
        prop::option::of(18..37_u32),
        stated(&["DE", "FR"]),
        stated(&["Pixel", "Fold"]),
        stated(&["arm64-v8a,armeabi-v7a", "x86_64"]),
        rejections(),
    )
        .prop_map(|(id, installed, sdk, region, model, abis, rejections)| Device {
            id,
            installed,
            sdk,
            region,
            model,
            abis,
            rejections,
        })
}

fn catalogs() -> impl Strategy<Value = Catalog> {
    let stored = (1..7_i64, signers()).prop_map(|(id, signers)| {
        let mut build = build(id);
        build.facts.signers = signers;
        build
    });
    let serving = prop::collection::vec(releases(), 0..5);
    (serving, prop::collection::vec(stored, 0..3)).prop_map(|(mut serving, mut stored)| {
        // A version code exists once, so a build has one signer wherever it turns up.
        let mut seen = Vec::new();
        let mut first = |id: BuildId| !seen.contains(&id) && (seen.push(id), true).1;
        serving.retain(|release| first(release.build.id));
        stored.retain(|build| first(build.id));
        catalog_with(serving, &stored)
    })
}

/// Says again, in the words of the requirements, what must hold of every offer.
fn is_fair(catalog: &Catalog, device: &Device, release: &Release) -> bool {
    let (spec, facts) = (&release.rollout.spec, &release.build.facts);
    let installed = version(device.installed);
    let known = catalog.package(crate::fleet::PACKAGE).unwrap();
    let same_signer = known.known_signers.iter().any(|(version, signers)| {
        *version == installed && signers.seen_by(device.sdk) == facts.signers.seen_by(device.sdk)
    });
    let goes_back = spec.settings.force_downgrade && installed > facts.version_code && same_signer;
    matches!(spec.state, RolloutState::Active | RolloutState::Completed)
        && (installed < facts.version_code || goes_back)
        && device.sdk.is_none_or(|sdk| sdk >= facts.min_sdk)
        && (facts.abis.is_empty() || device.abis.is_none_or(|abis| abis.contains(&facts.abis[0])))
        && spec.settings.audience.includes(device.region, device.model)
        && spec.settings.bucket(&device.id).is_within(spec.settings.percent)
        && !device
            .rejections
            .iter()
            .any(|r| r.applies_to(release.build.id, spec.retry_generation, at(100)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_explanation_is_that_of_the_decision(catalog in catalogs(), device in devices()) {
        let request = device.request();
        let explanation = explain(&catalog, &request, at(100));
        prop_assert_eq!(&explanation.decision, &decide(&catalog, &request, at(100)));
        let failed = explanation.steps.iter().filter(|step| !step.passed).count();
        match explanation.decision {
            Decision::Offer(offer) => {
                let asked = explanation.steps.iter().filter(|step| step.rollout == Some(offer.rollout.id));
                prop_assert!(asked.into_iter().all(|step| step.passed));
            }
            Decision::NoUpdate(_) => prop_assert!(failed > 0, "a refusal names the rule that refused"),
        }
    }

    #[test]
    fn an_offer_breaks_no_rule(catalog in catalogs(), device in devices()) {
        if let Decision::Offer(offer) = decide(&catalog, &device.request(), at(100)) {
            let package = catalog.package(crate::fleet::PACKAGE).unwrap();
            let release = package.serving.iter().find(|r| r.rollout == *offer.rollout).unwrap();
            prop_assert!(is_fair(&catalog, &device, release));
            prop_assert_eq!(offer.build, &*release.build);
            prop_assert_eq!(offer.signer, release.build.facts.signers.seen_by(device.sdk));
        }
    }

    #[test]
    fn a_current_build_that_may_be_offered_is(catalog in catalogs(), device in devices()) {
        let current = catalog.package(crate::fleet::PACKAGE).and_then(|package| package.serving.first());
        let decision = decide(&catalog, &device.request(), at(100));
        match current {
            None => prop_assert_eq!(decision, Decision::NoUpdate(Reason::NoCurrentBuild)),
            Some(release) => {
                let offered = matches!(decision, Decision::Offer(offer) if offer.rollout == &release.rollout);
                prop_assert_eq!(offered, is_fair(&catalog, &device, release));
            }
        }
    }

    #[test]
    fn raising_a_share_takes_an_offer_from_nobody(
        release in releases(),
        device in devices(),
        more in 0..=100_i64,
    ) {
        let offered = |release: &Release| {
            let catalog = catalog_with(vec![release.clone()], &[]);
            matches!(decide(&catalog, &device.request(), at(100)), Decision::Offer(_))
        };
        let mut raised = release.clone();
        let share = &mut raised.rollout.spec.settings.percent;
        *share = percent(more.max(i64::from(share.get())));
        prop_assert!(!offered(&release) || offered(&raised));
    }
}
