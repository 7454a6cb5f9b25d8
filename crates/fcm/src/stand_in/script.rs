//! Which request gets which answer.

use std::collections::{HashMap, VecDeque};

/// How the stand-in answers a message that is in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Takes it.
    Take,
    /// 404 `UNREGISTERED`.
    Unregistered,
    /// 400 `INVALID_ARGUMENT`.
    InvalidArgument,
    /// 403 `SENDER_ID_MISMATCH`.
    SenderIdMismatch,
    /// 401 `THIRD_PARTY_AUTH_ERROR`.
    ThirdPartyAuth,
    /// 401 without a code.
    Unauthorized,
    /// 403 without a code.
    Forbidden,
    /// 404 without a code.
    NotFound,
    /// 429 `QUOTA_EXCEEDED`, with this `Retry-After`.
    QuotaExceeded(Option<String>),
    /// 503 `UNAVAILABLE`, with this `Retry-After`.
    Unavailable(Option<String>),
    /// 500 `INTERNAL`.
    Internal,
    /// 502 with a page in HTML, as from a proxy.
    Page,
    /// The connection breaks.
    Reset,
    /// Takes the message, and the connection breaks before the answer.
    TakeAndReset,
    /// No answer comes.
    Hang,
}

#[derive(Debug, Default)]
pub(super) struct Script {
    tokens: HashMap<String, VecDeque<Answer>>,
    nths: HashMap<u64, Answer>,
    all: Option<Answer>,
}

impl Script {
    pub(super) fn for_token(&mut self, token: &str, answers: VecDeque<Answer>) {
        self.tokens.insert(token.to_owned(), answers);
    }

    pub(super) fn for_nth(&mut self, nth: u64, answer: Answer) {
        self.nths.insert(nth, answer);
    }

    pub(super) fn for_all(&mut self, answer: Option<Answer>) {
        self.all = answer;
    }

    /// The rule for the number goes before that for the token, and both before that for all.
    pub(super) fn answer(&mut self, nth: u64, token: &str) -> Answer {
        if let Some(answer) = self.nths.remove(&nth) {
            return answer;
        }
        let scripted = self
            .tokens
            .get_mut(token)
            .and_then(|answers| match answers.len() {
                0 | 1 => answers.front().cloned(),
                _ => answers.pop_front(),
            });
        scripted.or_else(|| self.all.clone()).unwrap_or(Answer::Take)
    }
}
