//! How long requests took, by route and status: counted in plain atomics, read when somebody asks for the metrics.
//!
//! The poll has an array of its own for each worker thread, so that counting it costs two additions that no other core
//! contends for. All other routes share a map, whose size is bounded by the routes there are.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use tidegate_service::PerWorker;
use tonic::Code;

use crate::grpc::is_grpc;

/// The upper bounds of the buckets, in seconds; a last one takes what is longer. They are few, since each is a series of
/// every route and code: a poll as it should be, a request that asks the database, one that somebody waits for, and one
/// that takes too long. None is a whole number: the two formats of the page write those differently, and Prometheus would
/// take them for two.
pub const BOUNDS: [f64; 4] = [0.000_5, 0.01, 0.25, 2.5];

/// [`BOUNDS`] in nanoseconds.
const BOUNDS_NS: [u64; BOUNDS.len()] = [500_000, 10_000_000, 250_000_000, 2_500_000_000];

/// How many series of routes and codes there may be; what comes beyond it is counted as [`OTHER`].
pub(crate) const MAX_SERIES: usize = 1000;

/// The route of requests that no route takes, and of what is beyond [`MAX_SERIES`].
pub(crate) const OTHER: &str = "other";

/// The poll's route.
pub const POLL_ROUTE: &str = "/v1/agent/update";

/// The statuses that a poll can have; any other is counted with the last.
const POLL_STATUSES: [StatusCode; 6] = [
    StatusCode::OK,
    StatusCode::NOT_MODIFIED,
    StatusCode::BAD_REQUEST,
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::INTERNAL_SERVER_ERROR,
];

/// The arrays of the poll; threads beyond it share them.
const SHARDS: usize = 16;

/// The times of requests.
pub struct RequestMetrics {
    timed: bool,
    polls: PerWorker<[Times; POLL_STATUSES.len()]>,
    others: RwLock<HashMap<Series, Arc<Times>>>,
}

/// What requests are told apart by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Series {
    /// The route's pattern, such as `/v1/apk/{id}`, or the gRPC method's full name.
    pub route: String,
    /// The HTTP method.
    pub method: String,
    /// The HTTP status, or the name of gRPC's code.
    pub code: String,
}

/// A histogram.
#[derive(Debug, Default)]
struct Times {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    total_ns: AtomicU64,
}

/// A histogram, read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Requests by bucket, not summed up; the last has no upper bound.
    pub buckets: [u64; BOUNDS.len() + 1],
    /// All their times together, in seconds.
    pub seconds: f64,
}

impl Reading {
    /// How many requests there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

impl Times {
    fn note(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_NS.iter().take_while(|bound| nanos > **bound).count();
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.total_ns.fetch_add(nanos, Ordering::Relaxed);
    }

    fn add_to(&self, reading: &mut Reading) {
        for (sum, bucket) in reading.buckets.iter_mut().zip(&self.buckets) {
            *sum += bucket.load(Ordering::Relaxed);
        }
        reading.seconds += Duration::from_nanos(self.total_ns.load(Ordering::Relaxed)).as_secs_f64();
    }
}

impl RequestMetrics {
    /// Times nothing when it is not `timed`.
    pub fn new(timed: bool) -> Self {
        Self {
            timed,
            polls: PerWorker::new(SHARDS),
            others: RwLock::default(),
        }
    }

    /// A poll has its answer.
    pub(crate) fn polled(&self, begun: Instant, status: StatusCode) {
        if !self.timed {
            return;
        }
        let known = POLL_STATUSES.iter().position(|known| *known == status);
        self.polls.own()[known.unwrap_or(POLL_STATUSES.len() - 1)].note(begun.elapsed());
    }

    fn note(&self, series: Series, time: Duration) {
        let known = {
            let others = self.others.read().unwrap_or_else(PoisonError::into_inner);
            others.get(&series).map(Arc::clone)
        };
        let times = known.unwrap_or_else(|| self.add(series));
        times.note(time);
    }

    fn add(&self, mut series: Series) -> Arc<Times> {
        let mut others = self.others.write().unwrap_or_else(PoisonError::into_inner);
        if others.len() >= MAX_SERIES && !others.contains_key(&series) {
            OTHER.clone_into(&mut series.route);
            OTHER.clone_into(&mut series.code);
        }
        Arc::clone(others.entry(series).or_default())
    }

    /// How many polls had each status, also those that none had.
    pub fn polls(&self) -> Vec<(StatusCode, Reading)> {
        let mut sums = POLL_STATUSES.map(|status| (status, Reading::default()));
        for shard in self.polls.iter() {
            for (times, (_, sum)) in shard.iter().zip(&mut sums) {
                times.add_to(sum);
            }
        }
        sums.into()
    }

    /// All requests that are not polls, in order.
    pub fn others(&self) -> Vec<(Series, Reading)> {
        let others = self.others.read().unwrap_or_else(PoisonError::into_inner);
        let mut readings: Vec<_> = others
            .iter()
            .map(|(series, times)| {
                let mut reading = Reading::default();
                times.add_to(&mut reading);
                (series.clone(), reading)
            })
            .collect();
        readings.sort_by(|(one, _), (other, _)| one.cmp(other));
        readings
    }
}

/// Times every request but the poll, which times itself.
pub(crate) async fn time(
    State(request_metrics): State<Arc<RequestMetrics>>,
    request: Request,
    next: Next,
) -> Response {
    if !request_metrics.timed {
        return next.run(request).await;
    }
    #[allow(clippy::disallowed_methods, reason = "how long it really takes")]
    let begun = Instant::now();
    let pattern = request.extensions().get::<MatchedPath>();
    let pattern = pattern.map_or(OTHER, MatchedPath::as_str).to_owned();
    // What a caller says of itself decides nothing: a label must not be theirs.
    let path = is_grpc(&pattern).then(|| request.uri().path().to_owned());
    let method = known_method(request.method());
    let response = next.run(request).await;
    let (route, code) = match path {
        Some(path) => grpc(path, &response),
        None => (pattern, response.status().as_str().to_owned()),
    };
    let series = Series {
        route,
        method: method.to_owned(),
        code,
    };
    request_metrics.note(series, begun.elapsed());
    response
}

/// A method that exists answers by another code than "unimplemented", so that only real names become labels.
fn grpc(path: String, response: &Response) -> (String, String) {
    if response.status() != StatusCode::OK {
        return (OTHER.to_owned(), response.status().as_str().to_owned());
    }
    let status = response.headers().get("grpc-status");
    let code = status.map_or(Code::Ok, |status| Code::from_bytes(status.as_bytes()));
    let route = if code == Code::Unimplemented {
        OTHER.to_owned()
    } else {
        path
    };
    (route, format!("{code:?}"))
}

/// Callers may send any word as a method.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_falls_into_the_bucket_that_ends_at_it() {
        for (bound, nanos) in BOUNDS.into_iter().zip(BOUNDS_NS) {
            assert_eq!(Duration::from_secs_f64(bound), Duration::from_nanos(nanos));
        }
        let (times, mut reading) = (Times::default(), Reading::default());
        for nanos in [0, 500_000, 500_001, 2_500_000_000, 2_500_000_001] {
            times.note(Duration::from_nanos(nanos));
        }
        times.add_to(&mut reading);
        assert_eq!(reading.buckets, [2, 1, 0, 1, 1]);
        assert_eq!(reading.count(), 5);
    }

    #[test]
    fn names_without_end_are_not_series_without_end() {
        let request_metrics = RequestMetrics::new(true);
        for number in 0..2 * MAX_SERIES {
            let series = Series {
                route: number.to_string(),
                method: "GET".to_owned(),
                code: "200".to_owned(),
            };
            request_metrics.note(series, Duration::ZERO);
        }
        let readings = request_metrics.others();
        assert_eq!(readings.len(), MAX_SERIES + 1);
        let all: u64 = readings.iter().map(|(_, reading)| reading.count()).sum();
        assert_eq!(all, 2 * MAX_SERIES as u64);
    }

    #[test]
    fn polls_of_all_threads_are_one_number() {
        let request_metrics = Arc::new(RequestMetrics::new(true));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let request_metrics = Arc::clone(&request_metrics);
                std::thread::spawn(move || {
                    for status in [StatusCode::OK, StatusCode::IM_A_TEAPOT] {
                        request_metrics.polled(Instant::now(), status);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let counts: Vec<u64> = request_metrics
            .polls()
            .iter()
            .map(|(_, reading)| reading.count())
            .collect();
        assert_eq!(counts, [4, 0, 0, 0, 0, 4]);
    }
}
