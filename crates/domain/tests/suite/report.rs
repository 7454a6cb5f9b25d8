//! The bounds of what a device may write into a report.

use tidegate_domain::{
    Error, MAX_MESSAGE_BYTES, MAX_REASON_BYTES, MAX_REQUEST_ID_BYTES, Report, ReportStatus,
};

use crate::device_build::report;

#[test]
fn texts_that_are_too_long_are_refused_by_their_name() {
    type Edit = fn(&mut Report, String);
    let fields: [(&str, usize, Edit); 3] = [
        ("reason", MAX_REASON_BYTES, |report, text| {
            report.reason = Some(text);
        }),
        ("message", MAX_MESSAGE_BYTES, |report, text| {
            report.message = Some(text);
        }),
        ("request_id", MAX_REQUEST_ID_BYTES, |report, text| {
            report.request_id = Some(text);
        }),
    ];
    for (name, limit, edit) in fields {
        let mut report = report(ReportStatus::Deferred, None);
        edit(&mut report, "a".repeat(limit));
        assert_eq!(report.check(), Ok(()));
        edit(&mut report, "a".repeat(limit + 1));
        let refused = report.check();
        assert!(
            matches!(refused, Err(Error::Invalid { field, .. }) if field == name),
            "{refused:?}"
        );
    }
}
