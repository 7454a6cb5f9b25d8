//! The access token: fetched by one request at a time and kept until shortly before it expires.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::RETRY_AFTER;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::answer::excerpt;
use crate::client::{fault_of, read};
use crate::lanes::Lanes;
use crate::{Error, ServiceAccount, retry_after};

/// How long before its end a token is renewed.
const MARGIN: TimeDelta = TimeDelta::minutes(5);

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// An access token. Its `Debug` does not show it.
pub(crate) struct Token {
    pub(crate) secret: SecretString,
    renew_at: DateTime<Utc>,
}

#[derive(Deserialize)]
struct Granted {
    access_token: SecretString,
    expires_in: u32,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refused {
    error: String,
    error_description: String,
}

/// Where the token is kept.
pub(crate) struct SignIn {
    account: ServiceAccount,
    lanes: Lanes,
    timeout: Duration,
    now: fn() -> DateTime<Utc>,
    kept: RwLock<Option<Arc<Token>>>,
    /// What went wrong with the last try. Held while fetching.
    fetching: tokio::sync::Mutex<Option<Error>>,
    tries: AtomicU64,
}

impl SignIn {
    pub(crate) fn new(
        account: ServiceAccount,
        lanes: Lanes,
        timeout: Duration,
        now: fn() -> DateTime<Utc>,
    ) -> Self {
        Self {
            account,
            lanes,
            timeout,
            now,
            kept: RwLock::default(),
            fetching: tokio::sync::Mutex::default(),
            tries: 0.into(),
        }
    }

    pub(crate) fn project(&self) -> &str {
        self.account.project_id()
    }

    /// A token that is still valid, other than the one that was just refused.
    pub(crate) async fn token(&self, refused: Option<&Arc<Token>>) -> Result<Arc<Token>, Error> {
        if let Some(token) = self.fresh(refused) {
            return Ok(token);
        }
        let before = self.tries.load(Ordering::Acquire);
        let mut last = self.fetching.lock().await;
        if let Some(token) = self.fresh(refused) {
            return Ok(token);
        }
        // Another caller tried in vain while this one waited. Asking again at once would only add load.
        if self.tries.load(Ordering::Acquire) != before
            && let Some(error) = &*last
        {
            return Err(error.clone());
        }
        let fetched = self.fetch().await;
        *last = fetched.as_ref().err().cloned();
        self.tries.fetch_add(1, Ordering::AcqRel);
        let token = Arc::new(fetched?);
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&token));
        Ok(token)
    }

    fn fresh(&self, refused: Option<&Arc<Token>>) -> Option<Arc<Token>> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let token = kept.as_ref()?;
        let known_bad = refused.is_some_and(|refused| Arc::ptr_eq(refused, token));
        (!known_bad && (self.now)() < token.renew_at).then(|| Arc::clone(token))
    }

    async fn fetch(&self) -> Result<Token, Error> {
        let now = (self.now)();
        let assertion = self.account.assertion(now)?;
        let form = [("grant_type", GRANT), ("assertion", assertion.expose_secret())];
        let http = self.lanes.client().await?;
        let request = http.post(self.account.token_uri().as_str()).form(&form);
        let exchange = async {
            let answer = request
                .send()
                .await
                .map_err(|error| fault_of(&error, self.timeout))?;
            let status = answer.status().as_u16();
            let retry_after = answer.headers().get(RETRY_AFTER).cloned();
            Ok((status, retry_after, read(answer, self.timeout).await?))
        };
        let answer = tokio::time::timeout(self.timeout, exchange)
            .await
            .map_err(|_| Error::Timeout(self.timeout))?;
        if matches!(answer, Err(Error::Connection(_))) {
            self.lanes.failed();
        }
        let (status, retry_after, body) = answer?;
        match status {
            200 => granted(&body, now),
            408 | 429 | 500.. => {
                let words = retry_after.as_ref().and_then(|value| value.to_str().ok());
                let retry_after = words.and_then(|words| retry_after::parse(words, now));
                Err(Error::Unavailable { retry_after })
            }
            _ => Err(refused(&body)),
        }
    }
}

fn granted(body: &[u8], now: DateTime<Utc>) -> Result<Token, Error> {
    let granted: Granted = serde_json::from_slice(body).map_err(|_| Error::Unexpected {
        status: 200,
        // The body may hold the token.
        excerpt: "no access token in it".to_owned(),
    })?;
    let life = TimeDelta::seconds(i64::from(granted.expires_in));
    // A token that lives less than ten minutes is used for half its life, and not fetched for each message.
    let renew_at = now + life - MARGIN.min(life / 2);
    Ok(Token {
        secret: granted.access_token,
        renew_at,
    })
}

fn refused(body: &[u8]) -> Error {
    let refused: Refused = serde_json::from_slice(body).unwrap_or_default();
    Error::SignInRefused {
        code: excerpt(&refused.error),
        description: excerpt(&refused.error_description),
    }
}
