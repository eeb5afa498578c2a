//! Who is connected: one `Client` a connection, seen by its own task and by `CLIENT LIST`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Waker};

/// Counts up from 1 for the life of the process.
pub(crate) type ClientId = u64;

/// Why a connection ends that its client did not end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// `CLIENT KILL`, or a reason that has been logged: close at once.
    Killed,
    /// The gateway stops: finish what is in flight, then close.
    Stopping,
}

/// One connection, as others may see it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: ClientId,
    pub(crate) address: SocketAddr,
    pub(crate) local_address: SocketAddr,
    pub(crate) connected_us: u64,
    /// When bytes last came in.
    pub(crate) active_us: Cell<u64>,
    /// Since when the kernel has refused to take what is written; 0 while it takes it.
    pub(crate) stalled_us: Cell<u64>,
    pub(crate) name: RefCell<String>,
    pub(crate) library_name: RefCell<String>,
    pub(crate) library_version: RefCell<String>,
    pub(crate) keyspace: Cell<u8>,
    pub(crate) protocol_version: Cell<u8>,
    /// Commands queued since MULTI; `None` outside a transaction.
    pub(crate) queued_count: Cell<Option<usize>>,
    pub(crate) watched_count: Cell<usize>,
    pub(crate) no_evict: Cell<bool>,
    pub(crate) no_touch: Cell<bool>,
    pub(crate) read_only: Cell<bool>,
    pub(crate) last_command: Cell<&'static str>,
    pub(crate) query_bytes: Cell<usize>,
    pub(crate) output_bytes: Cell<usize>,
    pub(crate) pending_count: Cell<usize>,
    pub(crate) in_bytes: Cell<u64>,
    pub(crate) out_bytes: Cell<u64>,
    pub(crate) command_count: Cell<u64>,
    ending: Cell<Option<Ending>>,
    waker: RefCell<Option<Waker>>,
}

impl Client {
    pub(crate) fn new(
        id: ClientId,
        address: SocketAddr,
        local_address: SocketAddr,
        now_us: u64,
    ) -> Client {
        Client {
            id,
            address,
            local_address,
            connected_us: now_us,
            active_us: Cell::new(now_us),
            stalled_us: Cell::new(0),
            name: RefCell::default(),
            library_name: RefCell::default(),
            library_version: RefCell::default(),
            keyspace: Cell::new(0),
            protocol_version: Cell::new(2),
            queued_count: Cell::new(None),
            watched_count: Cell::new(0),
            no_evict: Cell::new(false),
            no_touch: Cell::new(false),
            read_only: Cell::new(false),
            last_command: Cell::new("NULL"),
            query_bytes: Cell::new(0),
            output_bytes: Cell::new(0),
            pending_count: Cell::new(0),
            in_bytes: Cell::new(0),
            out_bytes: Cell::new(0),
            command_count: Cell::new(0),
            ending: Cell::new(None),
            waker: RefCell::new(None),
        }
    }

    /// Tells the connection's task to end. What was told first and is stronger stays.
    pub(crate) fn end(&self, ending: Ending) {
        if self.ending.get() != Some(Ending::Killed) {
            self.ending.set(Some(ending));
        }
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Whether the connection was told to end.
    pub(crate) fn ending(&self) -> Option<Ending> {
        self.ending.get()
    }

    /// Has `end` wake the task that polls with this context.
    pub(crate) fn register(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
    }

    /// The line of `CLIENT LIST`, without its line end.
    pub(crate) fn line(&self, now_us: u64) -> String {
        let seconds = |since_us: u64| now_us.saturating_sub(since_us) / 1_000_000;
        let mut line = String::with_capacity(384);
        let _infallible = write!(
            line,
            "id={} addr={} laddr={} fd=-1 name={} age={} idle={} flags={} db={} sub=0 psub=0 \
             ssub=0 multi={} watch={} qbuf={} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 \
             obl={} oll={} omem={} tot-mem={} events=r cmd={} user=default redir=-1 resp={} \
             lib-name={} lib-ver={} tot-net-in={} tot-net-out={} tot-cmds={}",
            self.id,
            self.address,
            self.local_address,
            self.name.borrow(),
            seconds(self.connected_us),
            seconds(self.active_us.get()),
            self.flags(),
            self.keyspace.get(),
            self.queued_count.get().map_or(-1, |count| count as i64),
            self.watched_count.get(),
            self.query_bytes.get(),
            self.output_bytes.get(),
            self.pending_count.get(),
            self.output_bytes.get(),
            self.query_bytes.get() + self.output_bytes.get(),
            self.last_command.get(),
            self.protocol_version.get(),
            self.library_name.borrow(),
            self.library_version.borrow(),
            self.in_bytes.get(),
            self.out_bytes.get(),
            self.command_count.get(),
        );
        line
    }

    fn flags(&self) -> String {
        let flags: String = [
            (self.queued_count.get().is_some(), 'x'),
            (self.no_evict.get(), 'e'),
            (self.no_touch.get(), 'T'),
            (self.read_only.get(), 'r'),
            (self.ending.get().is_some(), 'c'),
        ]
        .into_iter()
        .filter_map(|(set, flag)| set.then_some(flag))
        .collect();
        if flags.is_empty() { "N".to_owned() } else { flags }
    }
}

/// All connections, in order of their ids.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    by_id: RefCell<BTreeMap<ClientId, Rc<Client>>>,
    id_last: Cell<ClientId>,
}

impl Clients {
    /// Takes in a new connection.
    pub(crate) fn insert(
        &self,
        address: SocketAddr,
        local_address: SocketAddr,
        now_us: u64,
    ) -> Rc<Client> {
        let id = self.id_last.get() + 1;
        self.id_last.set(id);
        let client = Rc::new(Client::new(id, address, local_address, now_us));
        self.by_id.borrow_mut().insert(id, Rc::clone(&client));
        client
    }

    /// Forgets a connection that is gone.
    pub(crate) fn remove(&self, id: ClientId) {
        self.by_id.borrow_mut().remove(&id);
    }

    /// Everyone, oldest first.
    pub(crate) fn all(&self) -> Vec<Rc<Client>> {
        self.by_id.borrow().values().cloned().collect()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_id.borrow().len()
    }

    /// Calls `visit` for everyone, without copying the list; `visit` must not add or remove any.
    pub(crate) fn for_each(&self, visit: impl FnMut(&Rc<Client>)) {
        self.by_id.borrow().values().for_each(visit);
    }
}

/// Whether a name fits where Redis' protocol puts names: no spaces, no control characters.
pub(crate) fn is_name(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

#[cfg(test)]
mod tests;
