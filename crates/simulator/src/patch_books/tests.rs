use super::*;

fn record(outcomes: &[(i64, u32, &str)]) -> PatchRecord {
    let mut record = PatchRecord::default();
    let url = "http://127.0.0.1/v1/apk/4/patch/2?signature=x";
    for rollout in [1, 2] {
        record.offered(rollout, 4, OfferedPatch::new(url, 10, 1_000));
    }
    for (rollout, attempt, outcome) in outcomes {
        record.said(*rollout, 4, *attempt, outcome);
    }
    record
}

#[test]
fn a_patch_is_known_by_the_path_that_was_offered() {
    let record = record(&[]);
    assert!(record.is_patch("/v1/apk/4/patch/2"));
    assert!(!record.is_patch("/v1/apk/4/download"));
    assert!(!PatchRecord::default().is_patch("/v1/apk/4/patch/2"));
}

#[test]
fn what_was_said_first_counts_and_each_attempt_once() {
    let devices = [
        (record(&[(1, 1, "applied"), (1, 1, "apply_failed")]), vec![1]),
        (record(&[(1, 1, "damaged"), (1, 2, "applied")]), vec![1]),
        (
            record(&[(1, 1, "base_differs"), (2, 1, "base_differs")]),
            vec![1, 2],
        ),
        (record(&[(1, 1, "damaged")]), vec![]),
        (PatchRecord::default(), vec![1]),
        // Of the third rollout nobody said anything.
        (PatchRecord::default(), vec![3]),
    ];
    let counts = PatchCounts::of(4, devices.clone().into_iter());
    let outcomes = [("applied", 2), ("base_differs", 2), ("damaged", 2)];
    let outcomes = outcomes.map(|(name, count)| (name.to_owned(), count));
    assert_eq!(counts.outcomes, BTreeMap::from(outcomes));
    assert_eq!((counts.full, counts.saved_bytes), (3, 2 * 990));
    let of_another = PatchCounts::of(5, devices.into_iter());
    assert_eq!((of_another.outcomes.len(), of_another.saved_bytes), (0, 0));
}

/// A server of before, and one that had counted another fleet.
#[test]
fn what_the_server_tells_is_read_since_the_fleet_came() {
    assert_eq!(told_by_server(&Value::Null), None);
    let told = |applied, damaged, full, saved_bytes| {
        told_by_server(&serde_json::json!({
            "build_id": 4,
            "patches": [],
            "rollouts": [
                { "rollout_id": 1, "applied": applied, "damaged": 0, "full": full, "saved_bytes": saved_bytes },
                { "rollout_id": 2, "applied": 1, "damaged": damaged, "full": 1, "saved_bytes": 10 },
            ],
        }))
        .unwrap()
    };
    let since = told(7, 1, 9, 800).since(&told(2, 0, 4, 300));
    let outcomes = [("applied".to_owned(), 5), ("damaged".to_owned(), 1)];
    assert_eq!(since.outcomes, BTreeMap::from(outcomes));
    assert_eq!((since.full, since.saved_bytes), (5, 500));
}

#[test]
fn a_server_that_counted_something_else_is_found() {
    let devices = PatchCounts::of(4, [(record(&[(1, 1, "applied")]), vec![1])].into_iter());
    let mut server = devices.clone();
    // It names the outcomes that nobody had as well.
    server.outcomes.insert("damaged".to_owned(), 0);
    assert_eq!(devices.disagreement(&server), None);
    let edits: [fn(&mut PatchCounts); 4] = [
        |counts| counts.full += 1,
        |counts| counts.saved_bytes -= 1,
        |counts| counts.outcomes.clear(),
        |counts| {
            counts.outcomes.insert("damaged".to_owned(), 1);
        },
    ];
    for edit in edits {
        let mut wrong = server.clone();
        edit(&mut wrong);
        let books = PatchBooks::new(&Traffic::default(), devices.clone(), Some(wrong));
        assert!(!books.hold() && books.disagreement().is_some());
    }
    assert!(PatchBooks::new(&Traffic::default(), devices, None).hold());
}
