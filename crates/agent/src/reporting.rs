//! Reporting: sends the messages of the outbox, until the server has acknowledged each.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{Method, StatusCode};

use crate::agent::Agent;
use crate::agent_state::{AgentState, State, Wait};
use crate::backoff::{MAX_PAUSE, pause, requested_wait, retry_after};
use crate::deadline::Deadline;
use crate::exchange::{self, Answer, json_request};
use crate::outbox::Outgoing;
use crate::protocol::{FcmTokenBody, takes_offers};
use crate::{Error, Platform, StateStore, Transport};

/// The result of sending a message.
enum Delivery {
    /// The server has it, or will never take it.
    Done,
    /// The server did not take what is said about a patch: send it again without that.
    KnowsNoPatches,
    /// The server did not take the fields of protocol 2: send it again without them.
    OlderServer,
    /// Try again later.
    Later {
        /// The server's `Retry-After`.
        requested: Option<Duration>,
        locked_out: bool,
    },
}

impl<P: Platform, T: Transport, S: StateStore> Agent<P, T, S> {
    /// Sends the oldest message. If that fails for now, polls and waits go on all the same.
    pub(crate) async fn send_next(&mut self, then: Option<Wait>, now: DateTime<Utc>) -> Result<(), Error> {
        let Some(message) = self.saved.outbox.first().map(|first| self.for_server(first)) else {
            return self.change(|saved| saved.state = after_sending(then));
        };
        let answer = exchange::ask(&self.transport, self.request(&message)?).await;
        let now = self.platform.clock().max(now);
        if let Ok(answer) = &answer {
            self.saved.hear(&answer.headers, self.platform.clock());
        }
        let delivery = delivery(&message, answer, now);
        let device = self.config.device.clone();
        self.change(|saved| match delivery {
            Delivery::Done => saved.delivered(then, now),
            Delivery::KnowsNoPatches => {
                saved.patches.server_knows = false;
                saved.state = State::Reporting { then };
            }
            Delivery::OlderServer => {
                saved.server_protocol = 1;
                saved.state = State::Reporting { then };
            }
            Delivery::Later {
                requested,
                locked_out,
            } => {
                saved.not_delivered(device.as_str(), requested, locked_out, now);
                saved.state = after_sending(then);
            }
        })
    }

    /// The message without what the server does not know.
    fn for_server(&self, message: &Outgoing) -> Outgoing {
        match message {
            Outgoing::Report(report) if !takes_offers(self.saved.server_protocol) => {
                Outgoing::Report(report.without_origin())
            }
            Outgoing::Report(report) if !self.saved.patches.server_knows => {
                Outgoing::Report(report.without_patch())
            }
            message => message.clone(),
        }
    }

    fn request(&self, message: &Outgoing) -> Result<http::Request<bytes::Bytes>, Error> {
        let credentials = &self.credentials;
        match message {
            Outgoing::Report(report) => {
                json_request(Method::POST, self.url("/v1/agent/report"), credentials, report)
            }
            Outgoing::ActionResult(result) => {
                json_request(Method::POST, self.url("/v1/action-result"), credentials, result)
            }
            Outgoing::FcmToken(token) => json_request(
                Method::PUT,
                self.url("/v1/agent/fcm-token"),
                credentials,
                &FcmTokenBody { fcm_token: token },
            ),
        }
    }
}

impl AgentState {
    fn delivered(&mut self, then: Option<Wait>, now: DateTime<Utc>) {
        self.outbox.remove_first();
        self.outbox.at = Deadline::now(now);
        self.state = match self.outbox.first() {
            Some(_) => State::Reporting { then },
            None => after_sending(then),
        };
    }

    fn not_delivered(
        &mut self,
        device: &str,
        requested: Option<Duration>,
        locked_out: bool,
        now: DateTime<Utc>,
    ) {
        let outbox = &mut self.outbox;
        if requested.is_none() {
            outbox.faults = outbox.faults.saturating_add(1);
        }
        outbox.at = Deadline::after(now, pause(device, outbox.faults));
        if locked_out {
            outbox.at = Deadline::after(now, MAX_PAUSE);
            self.locked_out = true;
        }
        if let Some(requested) = requested {
            self.not_before = Some(Deadline::after(now, requested_wait(device, now, requested)));
        }
    }
}

fn after_sending(then: Option<Wait>) -> State {
    then.map_or(State::Idle, State::Waiting)
}

fn delivery(message: &Outgoing, answer: Result<Answer, Error>, now: DateTime<Utc>) -> Delivery {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            tracing::warn!(%error, "a message was not delivered");
            return Delivery::Later {
                requested: None,
                locked_out: false,
            };
        }
    };
    // Servers that are older than this message have no route for it.
    let has_no_route = matches!(message, Outgoing::ActionResult(_)) && answer.status == StatusCode::NOT_FOUND;
    if answer.status.is_success() || has_no_route {
        return Delivery::Done;
    }
    let is_refused = answer.status == StatusCode::BAD_REQUEST && answer.is_final_refusal();
    if is_refused && matches!(message, Outgoing::Report(report) if report.patch.is_some()) {
        // The server was replaced by an older one since it offered the patch.
        tracing::warn!(error = %answer.refusal(), "a report is sent again without what became of the patch");
        return Delivery::KnowsNoPatches;
    }
    let has_origin = matches!(message, Outgoing::Report(report) if report.has_origin());
    if is_refused && has_origin {
        // The server was replaced by an older one since it made the offer.
        tracing::warn!(error = %answer.refusal(), "a report is sent again without its offer");
        return Delivery::OlderServer;
    }
    if answer.is_final_refusal() {
        tracing::error!(error = %answer.refusal(), ?message, "the server refuses a message, which is dropped");
        return Delivery::Done;
    }
    tracing::warn!(error = %answer.refusal(), "a message was not delivered");
    Delivery::Later {
        requested: retry_after(&answer.headers, now),
        locked_out: answer.status == StatusCode::UNAUTHORIZED,
    }
}
