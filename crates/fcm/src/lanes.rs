//! The connections to one address, in the version of HTTP that is spoken there.
//!
//! Over TLS the two ends agree on a version (ALPN). Without TLS nothing does: a client that begins with HTTP/2 reaches no
//! server that speaks HTTP/1.1 alone, and hears nothing but a broken connection. So the first request to a plain address
//! asks, with a GET that neither FCM nor a stand-in does anything about, and what is learned holds until a connection fails.

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use crate::answer::excerpt;
use crate::client::{fault_of, read};
use crate::{Error, Options, TrustedUrl};

const UNKNOWN: u8 = 0;
const HTTP_1: u8 = 1;
/// HTTP/2, or whatever TLS agrees on.
const BEST: u8 = 2;

/// The connections to one address.
pub(crate) struct Lanes {
    url: String,
    best: Vec<reqwest::Client>,
    /// For a plain address that may speak either.
    http1: Option<reqwest::Client>,
    next: AtomicUsize,
    spoken: AtomicU8,
    /// What went wrong with the last question. Held while asking.
    asking: tokio::sync::Mutex<Option<Error>>,
    questions: AtomicU64,
    options: Options,
}

impl Lanes {
    /// So many connections, or as many as it takes without HTTP/2.
    pub(crate) fn new(address: &TrustedUrl, connections: usize, options: &Options) -> Result<Self, Error> {
        let plain = address.is_plain();
        let asks = plain && !options.http1_only;
        let best: Result<Vec<_>, Error> = (0..connections)
            .map(|_| client(plain, options.http1_only, asks, options))
            .collect();
        let http1 = asks.then(|| client(plain, true, false, options)).transpose()?;
        Ok(Self {
            url: address.as_str().to_owned(),
            best: best?,
            spoken: AtomicU8::new(if asks { UNKNOWN } else { BEST }),
            http1,
            next: AtomicUsize::new(0),
            asking: tokio::sync::Mutex::default(),
            questions: AtomicU64::new(0),
            options: options.clone(),
        })
    }

    /// A client for the next request.
    ///
    /// # Errors
    /// [`Error::Connection`] or [`Error::Timeout`] when the address speaks neither version.
    pub(crate) async fn client(&self) -> Result<&reqwest::Client, Error> {
        if self.spoken.load(Ordering::Acquire) == UNKNOWN {
            self.ask().await?;
        }
        let best = &self.best[self.next.fetch_add(1, Ordering::Relaxed) % self.best.len()];
        match &self.http1 {
            Some(http1) if self.spoken.load(Ordering::Acquire) == HTTP_1 => Ok(http1),
            _ => Ok(best),
        }
    }

    /// A connection failed. Whoever answers next may speak the other version.
    pub(crate) fn failed(&self) {
        if self.http1.is_some() {
            self.spoken.store(UNKNOWN, Ordering::Release);
        }
    }

    async fn ask(&self) -> Result<(), Error> {
        let before = self.questions.load(Ordering::Acquire);
        let mut last = self.asking.lock().await;
        if self.spoken.load(Ordering::Acquire) != UNKNOWN {
            return Ok(());
        }
        // Another caller asked in vain while this one waited.
        if self.questions.load(Ordering::Acquire) != before
            && let Some(error) = &*last
        {
            return Err(error.clone());
        }
        let asked = self.first_that_answers().await;
        *last = asked.as_ref().err().cloned();
        self.questions.fetch_add(1, Ordering::AcqRel);
        self.spoken.store(asked?, Ordering::Release);
        Ok(())
    }

    async fn first_that_answers(&self) -> Result<u8, Error> {
        let Err(error) = self.answers(&self.best[0]).await else {
            return Ok(BEST);
        };
        match &self.http1 {
            Some(http1) => self.answers(http1).await.map(|()| HTTP_1),
            None => Err(error),
        }
    }

    /// Any answer is one: what it says does not matter.
    async fn answers(&self, client: &reqwest::Client) -> Result<(), Error> {
        let timeout = self.options.timeout;
        let exchange = async {
            let answer = client.get(&self.url).send().await;
            let answer = answer.map_err(|error| fault_of(&error, timeout))?;
            // Read to its end, so that the connection can be used again.
            read(answer, timeout).await.map(drop)
        };
        tokio::time::timeout(timeout, exchange)
            .await
            .map_err(|_| Error::Timeout(timeout))?
    }
}

fn client(
    plain: bool,
    http1_only: bool,
    prior_knowledge: bool,
    options: &Options,
) -> Result<reqwest::Client, Error> {
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(options.timeout)
        .tcp_nodelay(true);
    if plain {
        // This machine is not behind a proxy, whatever the environment says.
        builder = builder.no_proxy();
    }
    if http1_only {
        builder = builder.http1_only();
    } else if prior_knowledge {
        builder = builder.http2_prior_knowledge();
    }
    builder
        .build()
        .map_err(|error| Error::Connection(excerpt(&error.to_string())))
}
