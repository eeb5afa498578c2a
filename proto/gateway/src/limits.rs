//! What one client, and all clients together, may ask of a node's memory and patience.
//!
//! **Invariant.** Everything that grows because of what a client sends, or does not read, stops at
//! one of these numbers.

use std::time::Duration;

use evenkeel_wire::{limits, resp};

/// The first read of a connection makes this much room, in bytes: ten thousand idle clients are
/// cheap, and a batch of sixteen small commands still fits in one read.
pub(crate) const READ_SIZE_MIN: usize = 4 * 1024;
/// A connection that fills its reads gets up to this much room for each, in bytes.
pub(crate) const READ_SIZE_MAX: usize = 16 * 1024;
/// Room for one read of a command larger than that, in bytes.
pub(crate) const LARGE_READ_SIZE_MAX: usize = 1024 * 1024;
/// Buffers above this size are given back once they are empty, in bytes. What stays below it is not
/// counted against the totals: every client may always have so much.
pub(crate) const BUFFER_SIZE_KEPT: usize = 16 * 1024;
/// Bytes handed to the kernel at once; each such piece that leaves counts as progress of the client.
pub(crate) const WRITE_SIZE_MAX: usize = 256 * 1024;
/// Keys that one connection has fetched ahead of the commands that name them: as many as the first of a
/// core's caches holds with small values.
pub(crate) const AHEAD_COUNT_MAX: usize = 32;
/// A connection with at least so many has enough to overlap, and waits for nobody else's.
pub(crate) const AHEAD_COUNT_ALONE: usize = 6;
/// Keys of all connections together that are fetched in one wave.
pub(crate) const WAVE_COUNT_MAX: usize = 128;
/// How often idle and stalled clients are looked for.
pub(crate) const HOUSEKEEPING_INTERVAL: Duration = Duration::from_millis(100);
/// How long the listener waits after the operating system refused a connection, so that it does not
/// spin when file descriptors run out.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Longest client name, library name or library version, in bytes.
pub(crate) const CLIENT_NAME_SIZE_MAX: usize = 256;
/// Arguments that the slow log keeps of a command, and bytes of each: Redis' numbers.
pub(crate) const SLOWLOG_ARGUMENT_COUNT_MAX: usize = 32;
/// See `SLOWLOG_ARGUMENT_COUNT_MAX`.
pub(crate) const SLOWLOG_ARGUMENT_SIZE_MAX: usize = 128;
/// The slow log never keeps more entries, whatever `CONFIG SET` says.
pub(crate) const SLOWLOG_COUNT_MAX: usize = 4096;
/// Different error words that INFO counts apart; the rest go under one name.
pub(crate) const ERROR_KIND_COUNT_MAX: usize = 64;

/// The limits of one gateway. `Default` is right for one node on a shared machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; one more is told so and closed.
    pub connection_count_max: usize,
    /// Arguments of one command, its name included.
    pub argument_count_max: usize,
    /// One argument, in bytes.
    pub bulk_size_max: usize,
    /// One inline command (a line without RESP framing), in bytes.
    pub inline_size_max: usize,
    /// One whole command, in bytes: what a connection's query buffer may hold.
    pub query_size_max: usize,
    /// All query buffers and transactions together, in bytes, small ones (16 KiB) apart.
    pub query_size_total_max: usize,
    /// Commands of one connection that may wait for their outcome at the same time; more are not
    /// read from the socket until one is done.
    pub pipeline_count_max: usize,
    /// Bytes of one connection's commands that may wait for their outcome at the same time.
    pub pipeline_size_max: usize,
    /// All clients' bytes that wait for their outcome; above it, nobody with more than 16 KiB of them
    /// may start another command until one is done.
    pub pipeline_size_total_max: usize,
    /// Commands between MULTI and EXEC.
    pub transaction_count_max: usize,
    /// Bytes of the commands between MULTI and EXEC.
    pub transaction_size_max: usize,
    /// Replies that a client has not read, in bytes, before its next commands are left waiting.
    pub output_size_high: usize,
    /// Replies that a client has not read, in bytes, at which it is cut off at once.
    pub output_size_max: usize,
    /// All unread replies together, in bytes; above it every client with more than 16 KiB of them
    /// is left waiting.
    pub output_size_total_max: usize,
    /// A client that reads nothing for so long while a reply waits for it is cut off.
    pub output_stall_max: Duration,
    /// A client that sends nothing for so long is disconnected; `None` for never.
    pub idle_max: Option<Duration>,
    /// How long a graceful stop waits for commands in flight.
    pub stop_wait_max: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        const MIB: usize = 1024 * 1024;
        Limits {
            connection_count_max: 10_000,
            argument_count_max: limits::ARGUMENT_COUNT_MAX,
            bulk_size_max: limits::BULK_SIZE_MAX,
            inline_size_max: limits::INLINE_SIZE_MAX,
            query_size_max: limits::COMMAND_SIZE_MAX,
            query_size_total_max: 512 * MIB,
            pipeline_count_max: 1024,
            pipeline_size_max: 32 * MIB,
            pipeline_size_total_max: 256 * MIB,
            transaction_count_max: 16 * 1024,
            transaction_size_max: 16 * MIB,
            output_size_high: 16 * MIB,
            output_size_max: 256 * MIB,
            output_size_total_max: 512 * MIB,
            output_stall_max: Duration::from_secs(30),
            idle_max: None,
            stop_wait_max: Duration::from_secs(5),
        }
    }
}

impl Limits {
    /// What `wire` needs to know to read one connection.
    pub(crate) fn of_parser(&self) -> resp::Limits {
        resp::Limits {
            argument_count_max: self.argument_count_max,
            bulk_size_max: self.bulk_size_max,
            inline_size_max: self.inline_size_max,
            command_size_max: self.query_size_max.min(limits::COMMAND_SIZE_MAX),
        }
    }
}

const _: () = {
    assert!(AHEAD_COUNT_ALONE <= AHEAD_COUNT_MAX);
    assert!(READ_SIZE_MIN <= READ_SIZE_MAX);
    assert!(READ_SIZE_MAX <= BUFFER_SIZE_KEPT);
    assert!(SLOWLOG_ARGUMENT_COUNT_MAX > 2);
};
