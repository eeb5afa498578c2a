//! What all connections of one gateway share.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use evenkeel_node::api::{KEYSPACE_NAMES, Topology};
use evenkeel_runtime::clock;
use evenkeel_wire::reply::Protocol;

use crate::clients::{Clients, Ending};
use crate::commands::cluster::{Cache, View};
use crate::commands::info::{self, Facts};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::process::Usage;
use crate::replies::Receipt;
use crate::service::Service;
use crate::settings::{self, Settings, Surroundings};
use crate::slowlog::{SlowCommand, SlowLog};
use crate::table;
use crate::wave::Wave;

/// See the module's text.
pub(crate) struct Door<S> {
    pub(crate) service: Rc<S>,
    pub(crate) settings: RefCell<Settings>,
    pub(crate) metrics: Metrics,
    /// The name of each command in `metrics.commands`; the last is for what is no command.
    pub(crate) command_names: Vec<&'static str>,
    pub(crate) clients: Clients,
    pub(crate) slowlog: RefCell<SlowLog>,
    pub(crate) listen: SocketAddr,
    pub(crate) started_us: u64,
    pub(crate) started_ms: u64,
    pub(crate) usage: Cell<fn() -> Usage>,
    pub(crate) wave: Wave,
    topology: RefCell<Cache>,
}

impl<S: Service> Door<S> {
    pub(crate) fn new(service: Rc<S>, listen: SocketAddr, limits: Limits) -> Door<S> {
        let settings = Settings::new(limits);
        let slowlog = SlowLog::new(settings.slowlog_count_max);
        let command_names = table::names();
        Door {
            service,
            settings: RefCell::new(settings),
            metrics: Metrics::new(command_names.len()),
            command_names,
            clients: Clients::default(),
            slowlog: RefCell::new(slowlog),
            listen,
            started_us: clock::monotonic_us(),
            started_ms: clock::wall_ms(),
            usage: Cell::new(Usage::default),
            wave: Wave::default(),
            topology: RefCell::default(),
        }
    }

    /// The limits in force. `CONFIG SET` may change them from one command to the next.
    pub(crate) fn limits(&self) -> Limits {
        self.settings.borrow().limits
    }

    /// What `CONFIG GET` shows beside the settings.
    pub(crate) fn surroundings(&self) -> Surroundings {
        let status = self.service.status();
        Surroundings {
            listen: self.listen,
            memory_max: status.keyspaces.iter().map(|keyspace| keyspace.bytes_max).sum(),
            policy_name: settings::policy_name(&status),
            redirect: self.service.topology().redirect,
            keyspace_count: KEYSPACE_NAMES.len(),
        }
    }

    /// A reply about the topology, from the cache unless the topology has changed.
    pub(crate) fn topology_reply(&self, view: View, protocol: Protocol) -> Bytes {
        let generation = self.service.topology_generation();
        let topology = || -> Topology { self.service.topology() };
        self.topology.borrow_mut().encoded(view, protocol, generation, topology)
    }

    /// The text of `INFO`.
    pub(crate) fn info<'a>(&self, sections: impl Iterator<Item = &'a [u8]> + Clone) -> String {
        let now_us = clock::monotonic_us();
        let (mut client_output_max, mut client_query_max) = (0, 0);
        self.clients.for_each(|client| {
            client_output_max = client_output_max.max(client.output_bytes.get());
            client_query_max = client_query_max.max(client.query_bytes.get());
        });
        let facts = Facts {
            status: &self.service.status(),
            topology: &self.service.topology(),
            metrics: &self.metrics,
            command_names: &self.command_names,
            usage: (self.usage.get())(),
            listen: self.listen,
            connection_count_max: self.limits().connection_count_max,
            wall_ms: clock::wall_ms(),
            uptime_us: now_us.saturating_sub(self.started_us),
            client_output_max,
            client_query_max,
        };
        info::info(&facts, sections)
    }

    /// Counts a command that has its reply.
    pub(crate) fn count(&self, command: usize, duration_us: u64, encoded: &[u8]) {
        let counters = &self.metrics.commands[command];
        counters.calls.add(1);
        counters.duration_us.add(duration_us);
        self.count_if_error(command, encoded);
    }

    /// Counts the reply if it is an error.
    #[inline]
    pub(crate) fn count_if_error(&self, command: usize, encoded: &[u8]) {
        if encoded.first() == Some(&b'-') {
            self.metrics.commands[command].failed.add(1);
            self.metrics.count_error(&String::from_utf8_lossy(&encoded[1..encoded.len() - 2]));
        }
    }

    /// Whether a command that took so long belongs in the slow log.
    pub(crate) fn is_slow(&self, duration_us: u64) -> bool {
        self.settings
            .borrow()
            .slowlog_slower_than_us
            .is_some_and(|slower_than_us| slower_than_us <= duration_us)
    }

    /// Notes a slow command.
    pub(crate) fn note_slow(
        &self,
        duration_us: u64,
        arguments: Vec<Bytes>,
        client: &crate::clients::Client,
    ) {
        self.slowlog.borrow_mut().push(SlowCommand {
            id: 0, // The log numbers them.
            ended_at_s: clock::wall_ms() / 1000,
            duration_us,
            arguments,
            address: client.address.to_string(),
            name: client.name.borrow().clone(),
        });
    }

    /// Counts a command whose reply came later.
    pub(crate) fn settle(
        &self,
        receipt: &Receipt,
        encoded: &[u8],
        now_us: u64,
        client: &crate::clients::Client,
    ) {
        let duration_us = now_us.saturating_sub(receipt.started_us);
        self.count(receipt.command, duration_us, encoded);
        self.metrics.commands_pending.subtract(1);
        self.metrics.pending_bytes.subtract(receipt.size as u64);
        if self.is_slow(duration_us) {
            let mut words = vec![Bytes::from(self.command_names[receipt.command])];
            if receipt.argument_count > 1 {
                words.push(receipt.argument.clone());
            }
            if receipt.argument_count > 2 {
                let more = receipt.argument_count - 2;
                words.push(Bytes::from(format!("... ({more} more arguments)")));
            }
            self.note_slow(duration_us, words, client);
        }
    }

    /// Ends clients that are idle for too long or do not read; takes the rates.
    pub(crate) fn keep_house(&self) {
        let now_us = clock::monotonic_us();
        self.metrics.sample(now_us);
        let limits = self.limits();
        let stall_us = limits.output_stall_max.as_micros() as u64;
        let idle_us = limits.idle_max.map(|idle| idle.as_micros() as u64);
        self.clients.for_each(|client| {
            let stalled_us = client.stalled_us.get();
            if stalled_us != 0 && stall_us < now_us.saturating_sub(stalled_us) {
                let unread_bytes = client.output_bytes.get();
                tracing::warn!(
                    id = client.id, address = %client.address, unread_bytes,
                    "a client that does not read its replies was cut off"
                );
                self.metrics.connections_cut_off.add(1);
                client.stalled_us.set(0); // Counted once.
                client.end(Ending::Killed);
            }
            let silent_us = now_us.saturating_sub(client.active_us.get());
            if idle_us.is_some_and(|idle_us| idle_us < silent_us)
                && client.pending_count.get() == 0
                && client.ending().is_none()
            {
                self.metrics.connections_idle_closed.add(1);
                client.end(Ending::Killed);
            }
        });
    }
}
