//! Connections that have something to do at the same time do it in step.
//!
//! When many sockets are readable at once, their connections read first, each noting the keys that its
//! commands name; then whoever has its turn again first has all those keys fetched side by side; then
//! each carries out its commands and writes. So the trips to main memory of all of them overlap, and the
//! other ends of their sockets wake up to many answers in a row, not to one at a time. A connection with
//! a whole pipeline of commands has enough keys of its own, and goes on at once.
//!
//! **Invariant.** What is noted here is a guess that costs or saves time; no answer depends on it.

use std::cell::RefCell;

use evenkeel_node::api::Hint;
use evenkeel_wire::resp;

use crate::limits::{AHEAD_COUNT_ALONE, AHEAD_COUNT_MAX, WAVE_COUNT_MAX};
use crate::service::Service;

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Wave {
    hints: RefCell<Vec<Hint>>,
}

impl Wave {
    /// Notes the keys of the few commands in `query`. True: let others who are ready do the same, then
    /// call `crest`. False: there is nothing to wait for.
    pub(crate) fn join<S: Service>(&self, service: &S, keyspace: u8, query: &[u8]) -> bool {
        let mut hints = self.hints.borrow_mut();
        let count_before = hints.len();
        hints.extend(ahead(service, keyspace, query).take(AHEAD_COUNT_ALONE));
        let own_count = hints.len() - count_before;
        let joins = (1..AHEAD_COUNT_ALONE).contains(&own_count) && hints.len() <= WAVE_COUNT_MAX;
        if !joins {
            hints.truncate(count_before);
        }
        joins
    }

    /// Has everything fetched that was noted since this was last called.
    pub(crate) fn crest<S: Service>(&self, service: &S) {
        let mut hints = self.hints.borrow_mut();
        if !hints.is_empty() {
            service.warm(&hints);
            hints.clear();
        }
    }
}

/// Has the keys of the next commands in `query` fetched, if they are enough to do without a wave.
pub(crate) fn fetch_ahead<S: Service>(service: &S, keyspace: u8, query: &[u8]) {
    let mut hints = [Hint::default(); AHEAD_COUNT_MAX];
    let mut count = 0;
    for (place, hint) in hints.iter_mut().zip(ahead(service, keyspace, query)) {
        *place = hint;
        count += 1;
    }
    if AHEAD_COUNT_ALONE <= count {
        service.warm(&hints[..count]);
    }
}

fn ahead<S: Service>(service: &S, keyspace: u8, query: &[u8]) -> impl Iterator<Item = Hint> {
    resp::second_words(query).filter_map(move |key| service.hint(keyspace, key))
}
