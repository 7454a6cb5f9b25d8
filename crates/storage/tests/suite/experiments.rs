//! Beginning and concluding experiments.

use tidegate_domain::{
    ArmDraft, Audience, Build, BuildId, ConclusionDraft, Error as Rule, Experiment, ExperimentDraft,
    ExperimentId, Percent, Position, RolloutState, Slice, Winner,
};
use tidegate_storage::{Error, ExperimentChanged, ExperimentFilter, ExperimentWithArms, Page, Store};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{APP, actor, all, at, by, of_region, package, promote, promotion, upload};

on_both_engines!(
    what_was_begun_comes_back_and_is_concluded,
    a_start_that_is_refused_writes_nothing,
    of_conclusions_at_once_one_counts,
    the_database_refuses_half_a_conclusion,
    an_earlier_version_goes_on_with_the_arms,
);

fn draft(builds: &[&Build], audience: Audience) -> ExperimentDraft {
    let width = |percent| Slice::of_percents(0.0, percent).unwrap().width;
    ExperimentDraft {
        name: "scanner".to_owned(),
        priority: 7,
        audience,
        salt: Some("spring".to_owned()),
        arms: (builds.iter())
            .map(|build| ArmDraft {
                build: build.id,
                width: width(12.5),
                name: format!("arm of {}", build.id),
            })
            .collect(),
        holdout: Some(width(10.0)),
        start: None,
    }
}

async fn start(store: &Store, builds: &[&Build], draft: ExperimentDraft) -> Result<ExperimentChanged, Error> {
    let builds: Vec<Build> = builds.iter().map(|build| (*build).clone()).collect();
    store
        .start_experiment(package(APP), actor("ann"), move |track, running, attempts| {
            track.start_experiment(&draft, &builds, running, |build| attempts.of(build), by())
        })
        .await
}

async fn conclude(
    store: &Store,
    id: ExperimentId,
    winner: Option<BuildId>,
) -> Result<ExperimentChanged, Error> {
    let draft = ConclusionDraft {
        winner: winner.map(Winner::Build),
        percent: Percent::new(50).unwrap(),
    };
    store
        .conclude_experiment(id, actor("bob"), move |track, seen, attempts| {
            let ExperimentWithArms { experiment, arms } = seen;
            track.conclude(experiment, arms, draft, |build| attempts.of(build), by())
        })
        .await
}

fn states(found: &ExperimentWithArms) -> Vec<RolloutState> {
    found.arms.iter().map(|arm| arm.spec.state).collect()
}

async fn what_was_begun_comes_back_and_is_concluded(place: &Place) {
    let store = place.store().await;
    let base = upload(&store, APP, 1).await;
    let (one, two) = (upload(&store, APP, 2).await, upload(&store, APP, 3).await);
    promote(&store, &base, promotion(100)).await;
    let asked = draft(&[&one, &two], of_region("north"));
    let begun = start(&store, &[&one, &two], asked.clone()).await.unwrap();
    assert!(begun.changed);
    let Experiment { id, spec } = begun.now.experiment.clone();
    assert_eq!(
        (spec.name.as_str(), spec.priority, spec.salt.as_deref()),
        ("scanner", 7, Some("spring"))
    );
    assert_eq!((spec.audience, spec.start), (of_region("north"), Position::FIRST));
    assert_eq!(spec.holdout, Some(Slice::of_percents(25.0, 10.0).unwrap()));
    assert_eq!(spec.conclusion, None);
    for (at, arm) in begun.now.arms.iter().enumerate() {
        assert_eq!(arm.spec.experiment, Some(id));
        assert_eq!(arm.spec.build, [one.id, two.id][at]);
        let start = [0.0, 12.5][at];
        assert_eq!(arm.spec.settings.slice, Slice::of_percents(start, 12.5).unwrap());
    }
    assert_eq!(store.experiment(id).await.unwrap(), begun.now);
    let track = store.track(&package(APP)).await.unwrap();
    assert_eq!(track.next_slice_start, Position::new(35_000_000).unwrap());
    assert_eq!(track.serving.len(), 3);

    let epochs = store.epochs().await.unwrap();
    let again = start(&store, &[&one, &two], asked).await.unwrap();
    assert!(!again.changed, "it runs already");
    assert_eq!(again.now, begun.now);
    assert_eq!(store.epochs().await.unwrap(), epochs);

    let concluded = conclude(&store, id, Some(two.id)).await.unwrap();
    assert!(concluded.changed);
    assert_eq!(
        states(&concluded.now),
        [RolloutState::Canceled, RolloutState::Superseded]
    );
    let conclusion = concluded.now.experiment.spec.conclusion.clone().unwrap();
    assert_eq!(conclusion.promoted, Some((two.id, Percent::new(50).unwrap())));
    assert_eq!(conclusion.at, at(0));
    assert_eq!(store.experiment(id).await.unwrap(), concluded.now);
    let track = store.track(&package(APP)).await.unwrap();
    assert_eq!(track.serving.len(), 1);
    assert_eq!(track.current().unwrap().build.id, two.id);
    assert_eq!(track.predecessor.unwrap().build.id, base.id);

    let again = conclude(&store, id, Some(two.id)).await.unwrap();
    assert_eq!((again.changed, &again.now), (false, &concluded.now));
    let other = conclude(&store, id, None).await.unwrap_err();
    assert!(
        matches!(other, Error::Rule(Rule::ExperimentEnded { .. })),
        "{other:?}"
    );
    let log = store.audit(Default::default(), Page::default()).await.unwrap();
    let entry = &log.items[0];
    assert_eq!(
        (entry.actor.as_str(), entry.action.as_str(), entry.target.as_str()),
        ("bob", "experiment.conclude", "package/com.example.app")
    );
    assert_eq!(entry.before.as_ref().unwrap()["arms"][1]["state"], "active");
    assert_eq!(entry.after.as_ref().unwrap()["winner_build_id"], two.id.0);
    assert_eq!(log.items[1].action, "experiment.create");
    assert_eq!(log.items[1].after.as_ref().unwrap()["experiment_id"], id.0);
    // Three uploads, a promotion, the beginning and the end.
    assert_eq!(store.verify_audit().await, Ok(Ok(6)));

    let next = start(&store, &[&one, &two], draft(&[&one, &two], Audience::everybody())).await;
    let next = next.unwrap().now;
    let newest = all(1, |page| store.experiments(ExperimentFilter::default(), page)).await;
    assert_eq!(newest, [next.clone(), concluded.now]);
    let of = async |name: &str| {
        let filter = ExperimentFilter {
            package: Some(package(name)),
        };
        store
            .experiments(filter, Page::default())
            .await
            .unwrap()
            .items
            .len()
    };
    assert_eq!((of(APP).await, of("com.example.other").await), (2, 0));
    let ended = conclude(&store, next.experiment.id, None).await.unwrap();
    assert_eq!(states(&ended.now), [RolloutState::Canceled; 2]);
    assert_eq!(ended.now.experiment.spec.conclusion.unwrap().promoted, None);
}

async fn a_start_that_is_refused_writes_nothing(place: &Place) {
    let store = place.store().await;
    let (one, two) = (upload(&store, APP, 1).await, upload(&store, APP, 2).await);
    let three = upload(&store, APP, 3).await;
    for build in [&two, &one, &three] {
        promote(&store, build, promotion(100)).await;
    }
    let note = actor("ann").note("ota.delete", format!("build/{}", two.id));
    store.delete_build(two.id, note).await.unwrap();
    let epochs = store.epochs().await.unwrap();
    let deleted = start(&store, &[&one, &two], draft(&[&one, &two], Audience::everybody())).await;
    assert_eq!(deleted.unwrap_err(), Error::BuildDeleted { build: two.id });
    let alone = start(&store, &[&one], draft(&[&one], Audience::everybody())).await;
    assert!(matches!(
        alone,
        Err(Error::Rule(Rule::Invalid { field: "arms", .. }))
    ));
    let unknown = store
        .start_experiment(package("com.example.none"), actor("ann"), |_, _, _| {
            Err(Rule::invalid("arms", "is never asked"))
        })
        .await;
    assert!(matches!(unknown, Err(Error::NotFound { .. })), "{unknown:?}");
    let none = conclude(&store, ExperimentId(1), None).await;
    assert!(matches!(none, Err(Error::NotFound { .. })), "{none:?}");
    let track = store.track(&package(APP)).await.unwrap();
    assert_eq!(
        (track.serving.len(), track.next_slice_start),
        (1, Position::FIRST)
    );
    let listed = store
        .experiments(ExperimentFilter::default(), Page::default())
        .await;
    assert_eq!(listed.unwrap().items, []);
    assert_eq!(store.epochs().await.unwrap().catalog, epochs.catalog);
    // Three uploads, three promotions and a deletion.
    assert_eq!(store.verify_audit().await, Ok(Ok(7)));
}

async fn of_conclusions_at_once_one_counts(place: &Place) {
    let stores = [place.store().await, place.store().await];
    let (one, two) = (upload(&stores[0], APP, 1).await, upload(&stores[0], APP, 2).await);
    let begun = start(
        &stores[0],
        &[&one, &two],
        draft(&[&one, &two], Audience::everybody()),
    )
    .await;
    let id = begun.unwrap().now.experiment.id;
    let asked = [one.id, two.id].into_iter().cycle().take(8).enumerate();
    let conclusions: Vec<_> = asked
        .map(|(n, winner)| {
            let store = stores[n % 2].clone();
            tokio::spawn(async move { (winner, conclude(&store, id, Some(winner)).await) })
        })
        .collect();
    let mut changed = vec![];
    let mut refused = 0;
    for conclusion in conclusions {
        match conclusion.await.unwrap() {
            (winner, Ok(done)) if done.changed => changed.push(winner),
            (_, Ok(_)) => {}
            (_, Err(Error::Rule(Rule::ExperimentEnded { .. }))) => refused += 1,
            (_, Err(fault)) => panic!("{fault}"),
        }
    }
    assert_eq!((changed.len(), refused), (1, 4));
    let track = stores[1].track(&package(APP)).await.unwrap();
    assert_eq!(track.serving.len(), 1);
    assert_eq!(track.current().unwrap().build.id, changed[0]);
}

async fn the_database_refuses_half_a_conclusion(place: &Place) {
    let store = place.store().await;
    let (one, two) = (upload(&store, APP, 1).await, upload(&store, APP, 2).await);
    start(&store, &[&one, &two], draft(&[&one, &two], Audience::everybody()))
        .await
        .unwrap();
    for (lie, set) in [
        ("ended by nobody", "concluded_at = 1"),
        (
            "a winner while it runs",
            "winner_build_id = 1, winner_percent_hundredths = 1",
        ),
        (
            "a winner to no share",
            "concluded_at = 1, concluded_by = 'x', winner_build_id = 1",
        ),
        ("a hold-out without a width", "holdout_width = NULL"),
        ("a base", "priority = 0"),
    ] {
        let fault = place
            .execute(&format!("UPDATE experiments SET {set}"))
            .expect_err(lie);
        assert!(fault.to_lowercase().contains("check"), "{lie}: {fault}");
    }
}

async fn an_earlier_version_goes_on_with_the_arms(place: &Place) {
    let store = place.store().await;
    let (one, two) = (upload(&store, APP, 1).await, upload(&store, APP, 2).await);
    start(&store, &[&one, &two], draft(&[&one, &two], Audience::everybody()))
        .await
        .unwrap();
    let reverted = store.revert_to("0013").await.unwrap();
    assert!(reverted.contains(&"0014".to_owned()), "{reverted:?}");
    let serving = place.number("SELECT count(*) AS value FROM rollouts WHERE serving AND priority = 7");
    assert_eq!(serving, 2, "as rollouts of their own");
    store.migrate().await.unwrap();
    let track = store.track(&package(APP)).await.unwrap();
    let arms = track
        .serving
        .iter()
        .map(|release| release.rollout.spec.experiment);
    assert_eq!(arms.collect::<Vec<_>>(), [None, None]);
}
