//! Who is signed in to the pages: one-time links, and sessions behind a cookie. All in memory; a restart signs out.

use loopwright_types::{Digest, Timestamp};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How long a sign-in link can be opened, in milliseconds.
pub const LINK_MS: i64 = 60 * 60 * 1000;
/// How long a session lasts, in milliseconds.
pub const SESSION_MS: i64 = 12 * 60 * 60 * 1000;
/// Most links and most sessions at a time; beyond it the one that ends first goes.
const N_ENTRIES_MAX: usize = 1000;

/// Links and sessions, by the hash of their secret.
#[derive(Debug, Default)]
pub struct Sessions {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    links: BTreeMap<Digest, Timestamp>,
    sessions: BTreeMap<Digest, Timestamp>,
}

impl Sessions {
    /// Lets `secret` be used once, until [`LINK_MS`] from now.
    pub fn add_link(&self, secret: &str, now: Timestamp) {
        insert(&mut self.lock().links, secret, now, LINK_MS);
    }

    /// Uses a link up and opens a session with the secret `session`. False if the link is unknown, used or too old.
    pub fn redeem(&self, link: &str, session: &str, now: Timestamp) -> bool {
        let mut inner = self.lock();
        let is_good = inner.links.remove(&Digest::of(link.as_bytes())).is_some_and(|ends| now < ends);
        if is_good {
            insert(&mut inner.sessions, session, now, SESSION_MS);
        }
        is_good
    }

    /// Opens a session for somebody who proved to be an administrator by other means.
    pub fn open(&self, session: &str, now: Timestamp) {
        insert(&mut self.lock().sessions, session, now, SESSION_MS);
    }

    /// Is this the secret of a session that has not ended?
    pub fn is_open(&self, session: &str, now: Timestamp) -> bool {
        self.lock().sessions.get(&Digest::of(session.as_bytes())).is_some_and(|ends| now < *ends)
    }

    /// Ends a session.
    pub fn close(&self, session: &str) {
        self.lock().sessions.remove(&Digest::of(session.as_bytes()));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is one insert or remove: a panic elsewhere leaves nothing half-done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn insert(entries: &mut BTreeMap<Digest, Timestamp>, secret: &str, now: Timestamp, lasts_ms: i64) {
    entries.retain(|_, ends| now < *ends);
    if entries.len() >= N_ENTRIES_MAX
        && let Some(first) = entries.iter().min_by_key(|(_, ends)| **ends).map(|(digest, _)| digest.clone())
    {
        entries.remove(&first);
    }
    entries.insert(Digest::of(secret.as_bytes()), now.plus_ms(lasts_ms));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_opens_one_session_once() {
        let sessions = Sessions::default();
        sessions.add_link("link", Timestamp(0));
        assert!(!sessions.redeem("other", "a", Timestamp(1)));
        assert!(sessions.redeem("link", "a", Timestamp(1)));
        assert!(!sessions.redeem("link", "b", Timestamp(1)));
        assert!(sessions.is_open("a", Timestamp(2)));
        assert!(!sessions.is_open("b", Timestamp(2)));
        assert!(!sessions.is_open("link", Timestamp(2)));
    }

    #[test]
    fn links_and_sessions_end() {
        let sessions = Sessions::default();
        sessions.add_link("late", Timestamp(0));
        assert!(!sessions.redeem("late", "a", Timestamp(LINK_MS)));
        sessions.open("b", Timestamp(0));
        assert!(sessions.is_open("b", Timestamp(SESSION_MS - 1)));
        assert!(!sessions.is_open("b", Timestamp(SESSION_MS)));
        sessions.open("c", Timestamp(0));
        sessions.close("c");
        assert!(!sessions.is_open("c", Timestamp(1)));
    }

    #[test]
    fn there_are_never_more_than_the_limit_and_the_oldest_goes() {
        let sessions = Sessions::default();
        for i in 0..=N_ENTRIES_MAX {
            sessions.open(&format!("s{i}"), Timestamp(i as i64));
        }
        assert_eq!(sessions.lock().sessions.len(), N_ENTRIES_MAX);
        assert!(!sessions.is_open("s0", Timestamp(2_000)));
        assert!(sessions.is_open(&format!("s{N_ENTRIES_MAX}"), Timestamp(2_000)));
    }
}
