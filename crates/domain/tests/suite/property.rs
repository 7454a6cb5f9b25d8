//! Properties whose premise must really come up: one that never does would leave a test green whatever the rules say.

use std::cell::Cell;
use std::fmt::Debug;

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};

const CASES: u32 = 1_000;

/// Checks a property over [`CASES`] cases. It returns whether its premise was met, which must be so in at least
/// `expected` of them.
pub(crate) fn check_often<S>(
    expected: u32,
    strategy: &S,
    property: impl Fn(S::Value) -> Result<bool, TestCaseError>,
) where
    S: Strategy<Value: Debug>,
{
    let met = Cell::new(0);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let result = runner.run(strategy, |case| {
        met.set(met.get() + u32::from(property(case)?));
        Ok(())
    });
    if let Err(fault) = result {
        panic!("{fault}");
    }
    let met = met.get();

    assert!(
        met >= expected,
        "the premise was met in {met} of {CASES} cases only"
    );
}
