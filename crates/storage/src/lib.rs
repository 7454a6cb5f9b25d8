//! Tidegate's tables on SQLite and PostgreSQL.
