//! What is looked at before the parser is: how long an expression is, how deep it nests, and the slips that have a
//! better answer than "mismatched input".
//!
//! `cel`'s parser is recursive and takes time with the depth, so nothing may reach it that nests without a bound. All
//! that makes its trees deep is refused here: brackets beyond the bound, chains of comparisons, arithmetic, selections
//! (`a.b.c`) and indexes, which audiences have no use for. Literals are limited to those whose end is plain, so that both
//! agree on what is inside of a text and what is not.

use std::iter::Peekable;
use std::ops::Range;
use std::str::CharIndices;

use super::parse::fault_at;
use super::{MAX_AUDIENCE_CHARS, MAX_AUDIENCE_DEPTH};
use crate::Error;

/// What the scan found out.
pub(super) struct Scanned {
    /// The parts between the outermost `&&`, in bytes, without the space around them. The whole, where an outermost `||`
    /// joins them.
    pub(super) clauses: Vec<Range<usize>>,
}

pub(super) fn scan(text: &str) -> Result<Scanned, Error> {
    // The bytes first: counting the characters of a megabyte takes time as well.
    if text.len() > 4 * MAX_AUDIENCE_CHARS || text.chars().count() > MAX_AUDIENCE_CHARS {
        return Err(Error::Audience {
            position: MAX_AUDIENCE_CHARS + 1,
            fault: format!("is longer than {MAX_AUDIENCE_CHARS} characters"),
            suggestion: None,
        });
    }
    let mut scan = Scan::new(text);
    while let Some((at, c)) = scan.rest.next() {
        scan.token(at, c)?;
    }
    scan.end()
}

/// What the token before was.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// Nothing, an operator, an opening bracket or a comma.
    Open,
    Word,
    Text,
    Number,
    Closed,
}

/// What is open: the text as a whole, or a bracket.
struct Level {
    opened_at: usize,
    bracket: char,
    /// Whether something was compared since the last `&&`, `||` or comma.
    has_compared: bool,
}

struct Scan<'a> {
    text: &'a str,
    rest: Peekable<CharIndices<'a>>,
    last: Last,
    /// Negations in a row.
    negations: usize,
    levels: Vec<Level>,
    ands: Vec<usize>,
    has_or: bool,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Self {
        let whole = Level {
            opened_at: 0,
            bracket: ' ',
            has_compared: false,
        };
        Self {
            text,
            rest: text.char_indices().peekable(),
            last: Last::Open,
            negations: 0,
            levels: vec![whole],
            ands: vec![],
            has_or: false,
        }
    }

    fn fault<T>(&self, at: usize, fault: impl Into<String>) -> Result<T, Error> {
        Err(fault_at(self.text, at, fault, None))
    }

    fn suggest<T>(&self, at: usize, fault: &str, suggestion: &str) -> Result<T, Error> {
        Err(fault_at(self.text, at, fault, Some(suggestion.to_owned())))
    }

    /// Takes the next character if it is this one.
    fn take(&mut self, wanted: char) -> bool {
        self.rest.next_if(|(_, c)| *c == wanted).is_some()
    }

    fn token(&mut self, at: usize, c: char) -> Result<(), Error> {
        if c != '!' && !c.is_whitespace() {
            self.negations = 0;
        }
        match c {
            ' ' | '\t' | '\n' | '\r' => Ok(()),
            '"' | '\'' => self.literal(at, c),
            '(' | '[' => self.open(at, c),
            ')' | ']' => self.close(at, c),
            ',' => {
                self.level().has_compared = false;
                self.now(Last::Open)
            }
            '.' => self.selection(at),
            '-' => self.negative(at),
            '!' | '=' | '<' | '>' | '&' | '|' => self.operator(at, c),
            c if c.is_ascii_digit() => self.number(at),
            c if c.is_ascii_alphabetic() || c == '_' => self.word(at),
            '“' | '”' | '„' | '«' | '»' | '‘' | '’' => {
                self.suggest(at, &format!("`{c}` is no quotation mark here"), "\"")
            }
            '≠' => self.suggest(at, "`≠` is no operator here", "!="),
            '≤' => self.suggest(at, "`≤` is no operator here", "<="),
            '≥' => self.suggest(at, "`≥` is no operator here", ">="),
            '+' | '*' | '/' | '%' => self.fault(at, format!("`{c}`: an audience does not calculate")),
            c if c.is_control() || c.is_whitespace() => {
                self.fault(at, format!("U+{:04X} has no place here", u32::from(c)))
            }
            c => self.fault(at, format!("`{c}` has no meaning here")),
        }
    }

    fn now(&mut self, last: Last) -> Result<(), Error> {
        self.last = last;
        Ok(())
    }

    /// Something that is compared, from here to there: nothing of the kind may stand right before it.
    fn operand(&mut self, at: usize, end: usize, what: Last) -> Result<(), Error> {
        if self.last != Last::Open {
            let word = &self.text[at..end];
            return self.fault(
                at,
                format!("`{word}` does not fit here: join conditions by `&&` or `||`"),
            );
        }
        self.now(what)
    }

    /// The innermost that is open. The text as a whole is never closed.
    fn level(&mut self) -> &mut Level {
        let last = self.levels.len() - 1;
        &mut self.levels[last]
    }

    fn literal(&mut self, at: usize, quote: char) -> Result<(), Error> {
        if self.last != Last::Open {
            return self.fault(at, "a text does not fit here: something is missing before it");
        }
        loop {
            match self.rest.next() {
                None => {
                    return self.fault(
                        at,
                        "the text that begins here has no end: a quotation mark is missing",
                    );
                }
                Some((_, c)) if c == quote => return self.now(Last::Text),
                Some((at, '\\')) => self.escape(at)?,
                Some((at, c)) if c.is_control() => {
                    return self.fault(
                        at,
                        format!("U+{:04X} is written as \\u{:04X}", u32::from(c), u32::from(c)),
                    );
                }
                Some(_) => {}
            }
        }
    }

    /// The escapes that have a use. CEL has more.
    fn escape(&mut self, at: usize) -> Result<(), Error> {
        match self.rest.next() {
            Some((_, '\\' | '"' | '\'' | 'n' | 'r' | 't')) => return Ok(()),
            Some((_, 'u')) => {
                let digits = (0..4).filter(|_| self.rest.next_if(|(_, c)| c.is_ascii_hexdigit()).is_some());
                if digits.count() == 4 {
                    return Ok(());
                }
            }
            _ => {}
        }
        self.fault(
            at,
            r#"a backslash is followed by one of \ " ' n r t, or by u and four hex digits"#,
        )
    }

    fn open(&mut self, at: usize, bracket: char) -> Result<(), Error> {
        if self.levels.len() > MAX_AUDIENCE_DEPTH {
            return self.fault(
                at,
                format!("brackets are nested deeper than {MAX_AUDIENCE_DEPTH}"),
            );
        }
        if bracket == '[' && self.last != Last::Open {
            return self.fault(at, "`[` begins a list, which stands behind `in`");
        }
        self.levels.push(Level {
            opened_at: at,
            bracket,
            has_compared: false,
        });
        self.now(Last::Open)
    }

    fn close(&mut self, at: usize, bracket: char) -> Result<(), Error> {
        let opening = if bracket == ')' { '(' } else { '[' };
        match self.levels.pop_if(|level| level.bracket == opening) {
            Some(_) => self.now(Last::Closed),
            None => self.fault(at, format!("`{bracket}` closes nothing that is open")),
        }
    }

    /// The dot of `model.startsWith("Pixel")`, the only one there is.
    fn selection(&mut self, at: usize) -> Result<(), Error> {
        let behind = self.text[at + 1..].trim_start();
        let name = behind.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if self.last == Last::Word && name.len() < behind.len() && name.trim_start().starts_with('(') {
            return self.now(Last::Open);
        }
        self.fault(
            at,
            "a dot stands between an attribute and startsWith, endsWith or contains",
        )
    }

    fn negative(&mut self, at: usize) -> Result<(), Error> {
        let is_number = self.rest.peek().is_some_and(|(_, c)| c.is_ascii_digit());
        if self.last != Last::Open || !is_number {
            return self.fault(at, "`-`: an audience does not calculate");
        }
        Ok(())
    }

    fn operator(&mut self, at: usize, c: char) -> Result<(), Error> {
        match c {
            '&' if self.take('&') => self.join(at, '&'),
            '|' if self.take('|') => self.join(at, '|'),
            '&' => self.suggest(at, "`&` is no operator", "&&"),
            '|' => self.suggest(at, "`|` is no operator", "||"),
            '=' if self.take('=') => self.compare(at),
            '=' if self.take('<') => self.suggest(at, "`=<` is no operator", "<="),
            '=' if self.take('>') => self.suggest(at, "`=>` is no operator", ">="),
            '=' => self.suggest(at, "`=` does not compare", "=="),
            '<' if self.take('>') => self.suggest(at, "`<>` is no operator", "!="),
            '!' if self.take('=') => {
                self.negations = 0;
                self.compare(at)
            }
            '!' => self.negate(at),
            _ => {
                self.take('=');
                self.compare(at)
            }
        }
    }

    fn negate(&mut self, at: usize) -> Result<(), Error> {
        self.negations += 1;
        if self.negations > MAX_AUDIENCE_DEPTH {
            return self.fault(
                at,
                format!("negations are nested deeper than {MAX_AUDIENCE_DEPTH}"),
            );
        }
        self.now(Last::Open)
    }

    fn join(&mut self, at: usize, operator: char) -> Result<(), Error> {
        if self.levels.len() == 1 {
            match operator {
                '&' => self.ands.push(at),
                _ => self.has_or = true,
            }
        }
        self.level().has_compared = false;
        self.now(Last::Open)
    }

    fn compare(&mut self, at: usize) -> Result<(), Error> {
        if self.level().has_compared {
            return self.fault(
                at,
                "compares what was compared already: join two comparisons by `&&` or `||`",
            );
        }
        self.level().has_compared = true;
        self.now(Last::Open)
    }

    fn number(&mut self, at: usize) -> Result<(), Error> {
        let mut end = at + 1;
        while self.rest.next_if(|(_, c)| c.is_ascii_digit()).is_some() {
            end += 1;
        }
        match self.rest.peek() {
            Some((_, c)) if c.is_alphanumeric() || *c == '.' || *c == '_' => {
                self.fault(at, "numbers are whole and decimal here, such as 30")
            }
            _ => self.operand(at, end, Last::Number),
        }
    }

    fn word(&mut self, at: usize) -> Result<(), Error> {
        let mut end = at + 1;
        while let Some((place, c)) = self.rest.next_if(|(_, c)| c.is_ascii_alphanumeric() || *c == '_') {
            end = place + c.len_utf8();
        }
        match &self.text[at..end] {
            "in" => self.compare(at),
            word @ ("and" | "AND") => self.suggest(at, &format!("`{word}` is no operator"), "&&"),
            word @ ("or" | "OR") => self.suggest(at, &format!("`{word}` is no operator"), "||"),
            word @ ("not" | "NOT") => self.suggest(at, &format!("`{word}` is no operator"), "!"),
            word @ ("IN" | "In") => self.suggest(at, &format!("`{word}` is no operator"), "in"),
            _ => self.operand(at, end, Last::Word),
        }
    }

    fn end(self) -> Result<Scanned, Error> {
        let Some(level) = self.levels.last().filter(|level| level.bracket != ' ') else {
            return self.clauses();
        };
        self.fault(level.opened_at, format!("`{}` is never closed", level.bracket))
    }

    fn clauses(self) -> Result<Scanned, Error> {
        if self.text.trim().is_empty() {
            return self.suggest(
                0,
                "the expression is empty; that of all devices is `true`",
                "true",
            );
        }
        let ends = if self.has_or { &[][..] } else { &self.ands };
        let mut clauses = Vec::with_capacity(ends.len() + 1);
        let mut start = 0;
        for end in ends.iter().copied().chain([self.text.len()]) {
            let part = &self.text[start..end];
            if part.trim().is_empty() {
                return self.fault(end, "a condition is missing beside `&&`");
            }
            let from = start + part.len() - part.trim_start().len();
            clauses.push(from..from + part.trim().len());
            start = end + "&&".len();
        }
        Ok(Scanned { clauses })
    }
}
