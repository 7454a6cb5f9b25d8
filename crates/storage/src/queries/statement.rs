//! A statement that is put together from parts, with its texts bound and never written into it.

use diesel::prelude::*;
use diesel::sql_types::Text;

use super::{Conn, Db};
use crate::error::Fault;

/// A part of a statement, or a whole one.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    /// What stands around the texts: one part more than there are of them.
    parts: Vec<String>,
    texts: Vec<String>,
}

impl<T: Into<String>> From<T> for Statement {
    fn from(sql: T) -> Self {
        Self::of(sql)
    }
}

impl Statement {
    pub(crate) fn of(sql: impl Into<String>) -> Self {
        Self {
            parts: vec![sql.into()],
            texts: vec![],
        }
    }

    /// Goes on with a text that is bound.
    pub(crate) fn text(mut self, text: &str) -> Self {
        self.parts.push(String::new());
        self.texts.push(crate::rows::clean(text));
        self
    }

    /// Goes on with more of the statement.
    pub(crate) fn and_then(mut self, sql: &str) -> Self {
        if let Some(last) = self.parts.last_mut() {
            last.push_str(sql);
        }
        self
    }

    /// Goes on with a part.
    pub(crate) fn then(mut self, part: &Self) -> Self {
        let mut parts = part.parts.iter();
        if let (Some(last), Some(first)) = (self.parts.last_mut(), parts.next()) {
            last.push_str(first);
        }
        self.parts.extend(parts.cloned());
        self.texts.extend(part.texts.iter().cloned());
        self
    }

    /// The rows that it asks for.
    pub(crate) fn load<T>(self, conn: &mut Conn) -> Result<Vec<T>, Fault>
    where
        T: QueryableByName<Db> + 'static,
    {
        let mut sql = String::new();
        for (at, part) in self.parts.iter().enumerate() {
            if at > 0 {
                sql.push_str(&format!("${at}"));
            }
            sql.push_str(part);
        }
        let mut query = diesel::sql_query(sql).into_boxed::<Db>();
        for text in self.texts {
            query = query.bind::<Text, _>(text);
        }
        Ok(query.load(conn)?)
    }
}
