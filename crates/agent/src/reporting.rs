//! Reporting: what the server has to be told, until it has acknowledged it.

use chrono::{DateTime, Utc};
use http::{Method, StatusCode};

use crate::agent::Agent;
use crate::exchange::{self, Answer, tell};
use crate::memory::{State, Wait};
use crate::outbox::Letter;
use crate::patience::{Alarm, MAX_PAUSE, obeyed, pause, retry_after};
use crate::protocol::FcmTokenBody;
use crate::{Error, Platform, StateStore, Transport};

/// What became of a letter.
enum Delivery {
    Done,
    /// Later.
    Later {
        asked: Option<std::time::Duration>,
        locked_out: bool,
    },
}

impl<P: Platform, T: Transport, S: StateStore> Agent<P, T, S> {
    /// Sends the oldest letter. One that can't be delivered now holds up neither polls nor waits.
    pub(crate) async fn send_letter(&mut self, then: Option<Wait>, now: DateTime<Utc>) -> Result<(), Error> {
        let afterwards = then.clone().map_or(State::Idle, State::Waiting);
        let Some(letter) = self.memory.outbox.first().cloned() else {
            return self.change(|memory| memory.state = afterwards);
        };
        let answer = exchange::ask(&self.transport, self.addressed(&letter)?).await;
        let now = self.platform.clock().max(now);
        let delivery = delivery(&letter, answer, now);
        let device = self.config.device.clone();
        self.change(|memory| match delivery {
            Delivery::Done => {
                memory.outbox.done();
                memory.outbox.at = Alarm::now(now);
                memory.state = match memory.outbox.first() {
                    Some(_) => State::Reporting { then },
                    None => afterwards,
                };
            }
            Delivery::Later { asked, locked_out } => {
                let outbox = &mut memory.outbox;
                outbox.faults = outbox.faults.saturating_add(1);
                let faults = outbox.faults;
                outbox.at = Alarm::after(now, pause(device.as_str(), faults));
                if locked_out {
                    outbox.at = Alarm::after(now, MAX_PAUSE);
                    memory.locked_out = true;
                }
                if let Some(asked) = asked {
                    memory.not_before = Some(Alarm::after(now, obeyed(device.as_str(), faults, asked)));
                }
                memory.state = afterwards;
            }
        })
    }

    fn addressed(&self, letter: &Letter) -> Result<http::Request<bytes::Bytes>, Error> {
        let credentials = &self.credentials;
        match letter {
            Letter::Report(report) => tell(Method::POST, self.url("/v1/agent/report"), credentials, report),
            Letter::ActionResult(result) => {
                tell(Method::POST, self.url("/v1/action-result"), credentials, result)
            }
            Letter::FcmToken(token) => tell(
                Method::PUT,
                self.url("/v1/agent/fcm-token"),
                credentials,
                &FcmTokenBody { fcm_token: token },
            ),
        }
    }
}

fn delivery(letter: &Letter, answer: Result<Answer, Error>, now: DateTime<Utc>) -> Delivery {
    let later = |asked, locked_out| Delivery::Later { asked, locked_out };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            tracing::warn!(%error, "a report was not delivered");
            return later(None, false);
        }
    };
    // A server that is older than the agent may not ask for results.
    let unwanted = matches!(letter, Letter::ActionResult(_)) && answer.status == StatusCode::NOT_FOUND;
    if answer.status.is_success() || unwanted {
        return Delivery::Done;
    }
    if answer.refuses_for_good() {
        tracing::error!(error = %answer.refusal(), ?letter, "the server does not want a report");
        return Delivery::Done;
    }
    tracing::warn!(error = %answer.refusal(), "a report was not delivered");
    later(
        retry_after(&answer.headers, now),
        answer.status == StatusCode::UNAUTHORIZED,
    )
}
