//! Statements on rows that each batch runs again.

use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Text, Untyped};
use serde::Serialize;

use super::{Conn, Db};
use crate::error::Fault;
use crate::rows::to_json;

/// A statement whose `$1` is rows, see `rows`. Connections keep it prepared, and forget none: its text must be the same
/// each time, without numbers of the moment.
pub(super) struct Kept<'a> {
    before: &'a str,
    rows: String,
    after: &'a str,
}

impl<'a> Kept<'a> {
    pub(super) fn on<T: Serialize>(sql: &'a str, rows: &[T]) -> Result<Self, Fault> {
        let (before, after) = sql.split_once("$1").unwrap_or((sql, ""));
        Ok(Self {
            before,
            rows: to_json(&rows)?,
            after,
        })
    }

    pub(super) fn run(self, conn: &mut Conn) -> QueryResult<usize> {
        self.execute(conn)
    }
}

impl QueryFragment<Db> for Kept<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Db>) -> QueryResult<()> {
        out.push_sql(self.before);
        out.push_bind_param::<Text, _>(&self.rows)?;
        out.push_sql(self.after);
        Ok(())
    }
}

/// By its text.
impl QueryId for Kept<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Kept<'_> {
    type SqlType = Untyped;
}

impl RunQueryDsl<Conn> for Kept<'_> {}
