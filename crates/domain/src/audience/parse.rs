//! From text to conditions: bounds first, then `cel`'s parser, then our checks.

use cel::Env;
use cel::parser::{ParseError, ParseErrors};

use super::lower::Lowering;
use super::predicate::Predicate;
use super::scan::{Scanned, scan};
use super::{Condition, MAX_AUDIENCE_DEPTH};
use crate::Error;

/// One mistake is enough to tell, and recovering from several costs time.
const MAX_RECOVERIES: u32 = 1;

/// The conditions that an expression joins by its outermost `&&`. The parser sees each by itself: its text is shown to
/// operators, and the syntax tree tells where operators stand and not where what they join begins and ends.
pub(super) fn clauses(text: &str) -> Result<Vec<Condition>, Error> {
    let Scanned { clauses } = scan(text)?;
    let parser = Env::default().with_optional_support(false);
    let mut lowering = Lowering::new(text);
    clauses
        .into_iter()
        .map(|range| {
            let part = &text[range.clone()];
            let predicate = clause(&parser, part, range.start, &mut lowering)?;
            Ok(Condition {
                text: part.to_owned(),
                predicate,
            })
        })
        .collect()
}

fn clause(env: &Env, part: &str, start: usize, lowering: &mut Lowering<'_>) -> Result<Predicate, Error> {
    let depth = u16::try_from(MAX_AUDIENCE_DEPTH).unwrap_or(u16::MAX);
    let parser = env
        .parser()
        .max_recursion_depth(depth)
        .error_recovery_limit(MAX_RECOVERIES);
    match parser.parse_with_source_info(part) {
        Ok((expression, places)) => lowering.clause(&expression, &places, start),
        Err(errors) => Err(unreadable(lowering.text(), part, start, &errors)),
    }
}

/// The parser's first complaint, in our words: it lists the tokens that it expected by their names in its grammar.
fn unreadable(text: &str, part: &str, start: usize, errors: &ParseErrors) -> Error {
    let first = errors.errors.first();
    let at = first.map_or(0, |error| place(part, error));
    let rest = part[at..].trim_start();
    let skipped = part.len() - rest.len();
    let fault = match word(rest) {
        "" => "the expression ends where something is missing".to_owned(),
        word => format!("`{word}` does not fit here"),
    };
    fault_at(text, start + skipped.max(at), fault, None)
}

/// The place of a complaint, in bytes.
fn place(part: &str, error: &ParseError) -> usize {
    let (line, column) = error.pos;
    let before = usize::try_from(line - 1).unwrap_or(0);
    let start: usize = part.split_inclusive('\n').take(before).map(str::len).sum();
    let column = usize::try_from(column - 1).unwrap_or(0);
    let line = part.get(start..).unwrap_or_default();
    start + line.char_indices().nth(column).map_or(line.len(), |(at, _)| at)
}

/// What stands at the beginning: a word, or a sign.
fn word(text: &str) -> &str {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let end = match text.chars().next() {
        None => 0,
        Some(first) if is_word(first) => text.find(|c| !is_word(c)).unwrap_or(text.len()),
        Some(first) => first.len_utf8(),
    };
    &text[..end]
}

/// An error at this byte of the text.
pub(super) fn fault_at(
    text: &str,
    byte: usize,
    fault: impl Into<String>,
    suggestion: Option<String>,
) -> Error {
    let before = text.get(..byte).unwrap_or(text);
    Error::Audience {
        position: before.chars().count() + 1,
        fault: fault.into(),
        suggestion,
    }
}
