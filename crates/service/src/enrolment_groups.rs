//! Enrolments, written in groups.
//!
//! A commit that reaches the disk costs milliseconds, whether it lets one device in or some hundreds, and a new site brings
//! its devices at once. So whoever's turn it is writes for all that came while the one before was writing. Only the usual
//! enrolment goes that way, of a device that nobody knew; all others are judged each by itself.

use std::sync::{Arc, Mutex, PoisonError};

use tidegate_storage::{EnrollCredential, Enrollment, Grouped, Store};
use tokio::sync::{OwnedMutexGuard, oneshot};

use crate::{Error, Kind};

/// How many devices may wait to be let in. Beyond it they are told to come back later.
const MAX_WAITING_ENROLMENTS: usize = 10_000;

/// How many devices one commit lets in at most.
const MAX_PER_COMMIT: usize = 500;

/// Lets devices in.
pub(crate) struct EnrolmentGroups {
    store: Store,
    waiting: Mutex<Vec<Waiting>>,
    /// Held by the one who writes.
    turn: Arc<tokio::sync::Mutex<()>>,
}

struct Waiting {
    enrollment: Enrollment,
    reply: oneshot::Sender<Grouped>,
}

impl EnrolmentGroups {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            waiting: Mutex::default(),
            turn: Arc::default(),
        }
    }

    /// Lets a device in with all those that wait, or says that it is to enrol by itself.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when too many wait.
    pub(crate) async fn let_in(&self, enrollment: &Enrollment) -> Result<Grouped, Error> {
        if !matches!(enrollment.credential, EnrollCredential::Token(_)) {
            return Ok(Grouped::Apart);
        }
        let (reply, mut answer) = oneshot::channel();
        self.wait(Waiting {
            enrollment: enrollment.clone(),
            reply,
        })?;
        tokio::select! {
            biased;
            // Another one's turn was this one's too. To wait for its own would have it hold up those that came later.
            told = &mut answer => return Ok(told.unwrap_or(Grouped::Apart)),
            turn = Arc::clone(&self.turn).lock_owned() => {
                let group = self.next_group();
                // Apart from this request: the others don't depend on whether its caller hangs up.
                tokio::spawn(write(self.store.clone(), group, turn));
            }
        }
        Ok(answer.await.unwrap_or(Grouped::Apart))
    }

    fn wait(&self, one: Waiting) -> Result<(), Error> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= MAX_WAITING_ENROLMENTS {
            let message = "many devices enrol at this moment; try again soon";
            return Err(Error::new(Kind::Unavailable, "too_many_enrolments", message));
        }
        waiting.push(one);
        Ok(())
    }

    /// Those that have waited the longest.
    fn next_group(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let group = waiting.len().min(MAX_PER_COMMIT);
        waiting.drain(..group).collect()
    }
}

async fn write(store: Store, group: Vec<Waiting>, turn: OwnedMutexGuard<()>) {
    if group.is_empty() {
        return;
    }
    // Also a group of one is written in its turn: others gather meanwhile.
    let enrollments = group.iter().map(|one| one.enrollment.clone()).collect();
    // What failed for all may do for each: a token may have uses left for some of them.
    let outcome = store.enroll_new(enrollments).await.unwrap_or_default();
    let mut outcome = outcome.into_iter();
    for one in group {
        // Who hung up finds out by asking again.
        let _ = one.reply.send(outcome.next().unwrap_or(Grouped::Apart));
    }
    drop(turn);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enrollment(credential: EnrollCredential) -> Enrollment {
        Enrollment {
            credential,
            device: tidegate_domain::DeviceId::parse("a").unwrap(),
            key_hash: None,
            facts: tidegate_domain::DeviceFacts::default(),
            alias: None,
            fcm_token: None,
            package: None,
            erased_tags: vec![],
            now: chrono::DateTime::UNIX_EPOCH,
        }
    }

    async fn groups(folder: &tempfile::TempDir) -> Arc<EnrolmentGroups> {
        let url = format!("sqlite://{}", folder.path().join("db").display());
        let store = Store::open(&tidegate_storage::Settings::new(url)).await.unwrap();
        Arc::new(EnrolmentGroups::new(store))
    }

    #[tokio::test]
    async fn too_many_that_wait_are_told_to_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let groups = groups(&folder).await;
        let waiting = || {
            let (reply, _) = oneshot::channel();
            Waiting {
                enrollment: enrollment(EnrollCredential::KeyAlone),
                reply,
            }
        };
        for _ in 0..MAX_WAITING_ENROLMENTS {
            groups.wait(waiting()).unwrap();
        }
        let refused = groups.wait(waiting()).unwrap_err();
        assert_eq!(
            (refused.kind, refused.code),
            (Kind::Unavailable, "too_many_enrolments")
        );
        assert_eq!(groups.next_group().len(), MAX_PER_COMMIT);
    }

    /// Otherwise the next one would find nobody beside itself, and no group would ever have two.
    #[test]
    fn also_one_alone_keeps_its_turn_until_it_is_written() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        // One thread for the database, which is kept busy.
        let runtime = runtime.enable_all().max_blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let groups = groups(&folder).await;
            let (frees, busy) = std::sync::mpsc::channel::<()>();
            let database = tokio::task::spawn_blocking(move || busy.recv());
            let enrols = tokio::spawn({
                let groups = Arc::clone(&groups);
                async move { groups.let_in(&enrollment(EnrollCredential::Token([7; 32]))).await }
            });
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert!(groups.turn.try_lock().is_err(), "it waits for the database");
            frees.send(()).unwrap();
            database.await.unwrap().unwrap();
            let unknown = Grouped::Refused(tidegate_storage::TokenFault::Unknown);
            assert_eq!(enrols.await.unwrap().unwrap(), unknown);
            assert!(groups.turn.try_lock().is_ok());
        });
    }

    /// Otherwise it would take the next turn before it answers, for the few that have come by then.
    #[tokio::test]
    async fn whoever_was_let_in_in_anothers_turn_waits_for_none_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let groups = groups(&folder).await;
        let anothers = Arc::clone(&groups.turn).lock_owned().await;
        let enrols = tokio::spawn({
            let groups = Arc::clone(&groups);
            async move { groups.let_in(&enrollment(EnrollCredential::Token([7; 32]))).await }
        });
        tokio::task::yield_now().await;
        for one in groups.next_group() {
            one.reply.send(Grouped::Apart).unwrap();
        }
        let patience = std::time::Duration::from_secs(10);
        let told = tokio::time::timeout(patience, enrols).await;
        assert_eq!(
            told.expect("it waits for no turn").unwrap().unwrap(),
            Grouped::Apart
        );
        drop(anothers);
    }
}
