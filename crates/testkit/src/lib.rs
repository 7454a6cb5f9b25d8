//! Builders of test data and a throwaway PostgreSQL, for Tidegate's own tests.

pub mod postgres;
