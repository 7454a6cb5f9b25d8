//! Tidegate's use cases: check in, upload, promote, roll back, report.
