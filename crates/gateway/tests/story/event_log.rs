//! The log's events, as the servers of these stories write them. All stories share it, so each finds its own events by
//! a field that no other story has: a command's request id, or a name.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Mutex, Once};

use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// An event's fields.
pub(crate) type Fields = BTreeMap<String, String>;

static EVENTS: Mutex<Vec<Fields>> = Mutex::new(Vec::new());

/// Records events from now on.
pub(crate) fn record() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::registry().with(Recorder);
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

/// The events of this name whose field has this value.
pub(crate) fn of(event: &str, field: &str, value: &str) -> Vec<Fields> {
    let events = EVENTS.lock().unwrap();
    let is_it = |fields: &&Fields| {
        fields.get("event").is_some_and(|name| name == event)
            && fields.get(field).is_some_and(|found| found == value)
    };
    events.iter().filter(is_it).cloned().collect()
}

struct Recorder;

impl<S: tracing::Subscriber> Layer<S> for Recorder {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut fields = Reading(Fields::new());
        event.record(&mut fields);
        if fields.0.contains_key("event") {
            EVENTS.lock().unwrap().push(fields.0);
        }
    }
}

struct Reading(Fields);

impl Visit for Reading {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}
