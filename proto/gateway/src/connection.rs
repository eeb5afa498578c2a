//! One connection: one task, two halves that take turns.
//!
//! ```text
//!   socket ─read─► query ─parse─► start ─► Replies ─write─► socket
//!          └───────── intake ─────────┘    pending └ outlet ─┘
//! ```
//!
//! The intake reads once, starts every complete command in the buffer, in order, and steps aside; the
//! outlet then sends all that is ready with one write. So a pipelined batch costs one read and one
//! write. The halves share their task: neither can run while the other does, and what one changes, the
//! other sees at its next turn without being woken.
//!
//! **Invariant.** What a client makes us hold is bounded by `Limits`: the intake stops reading while
//! too much is pending or unread, and a client that leaves too much unread for too long is cut off.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use evenkeel_runtime::clock;
use evenkeel_runtime::net::{TcpReader, TcpStream, TcpWriter};
use evenkeel_wire::resp::{Parse, Parser};

use crate::clients::{Client, Ending};
use crate::door::Door;
use crate::limits::{
    AHEAD_COUNT_MAX, BUFFER_SIZE_KEPT, LARGE_READ_SIZE_MAX, Limits, READ_SIZE_MAX, READ_SIZE_MIN,
    WRITE_SIZE_MAX,
};
use crate::metrics::Counter;
use crate::replies::Replies;
use crate::service::Service;
use crate::session::Session;
use crate::stopwatch::Stopwatch;
use crate::wave::fetch_ahead;

mod start;

/// See the module's text.
struct Connection<S> {
    door: Rc<Door<S>>,
    client: Rc<Client>,
    replies: RefCell<Replies>,
    /// Bytes the outlet has taken and not yet handed to the kernel.
    sending: Cell<usize>,
    /// Somebody moved: the other half may be able to move as well.
    progress: Cell<bool>,
    /// What the totals know of this connection's buffers.
    counted_output: Share,
    counted_query: Share,
    counted_queued: Share,
}

/// What the intake owns.
#[derive(Default)]
struct Intake {
    query: BytesMut,
    parser: Parser,
    session: Session,
    stopwatch: Stopwatch,
    /// Commands of this turn so far.
    started: usize,
}

/// Why the intake stopped starting commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// The buffer has no further whole command.
    NeedsBytes,
    /// Too much is pending or unread.
    NeedsRoom,
    /// The next command waits for all earlier ones.
    NeedsQuiet,
    /// There is no next command: `QUIT`, or bytes that are not RESP.
    Ended,
}

/// Serves one client until either side has had enough.
pub(crate) async fn serve<S: Service>(door: Rc<Door<S>>, client: Rc<Client>, stream: TcpStream) {
    let (reader, mut writer) = stream.into_split();
    let connection = Connection {
        door,
        client,
        replies: RefCell::default(),
        sending: Cell::new(0),
        progress: Cell::new(false),
        counted_output: Share::default(),
        counted_query: Share::default(),
        counted_queued: Share::default(),
    };
    let all_sent = {
        let mut intake = pin!(connection.take_in(reader));
        let mut outlet = pin!(connection.send_out(&mut writer));
        let mut taking_in = true;
        poll_fn(|context| {
            connection.poll(context, intake.as_mut(), &mut taking_in, outlet.as_mut())
        })
        .await
    };
    if all_sent {
        let _gone_already = writer.shutdown().await;
    }
}

impl<S: Service> Connection<S> {
    /// Gives each half its turn until neither can move. Ready: the connection is over, and whether
    /// everything was sent.
    fn poll(
        &self,
        context: &mut Context<'_>,
        mut intake: Pin<&mut impl Future<Output = ()>>,
        taking_in: &mut bool,
        mut outlet: Pin<&mut impl Future<Output = io::Error>>,
    ) -> Poll<bool> {
        self.client.register(context);
        loop {
            self.progress.set(false);
            match self.client.ending() {
                Some(Ending::Killed) => return Poll::Ready(false),
                Some(Ending::Stopping) => *taking_in = false,
                None => (),
            }
            if *taking_in && intake.as_mut().poll(context).is_ready() {
                *taking_in = false;
            }
            self.poll_replies(context);
            if outlet.as_mut().poll(context).is_ready() {
                return Poll::Ready(false);
            }
            let unread = self.count_output();
            if self.door.settings.borrow().limits.output_size_max < unread {
                self.cut_off(unread);
                return Poll::Ready(false);
            }
            if !*taking_in && unread == 0 && self.replies.borrow().pending_count() == 0 {
                return Poll::Ready(true);
            }
            if !self.progress.get() {
                return Poll::Pending;
            }
        }
    }

    fn poll_replies(&self, context: &mut Context<'_>) {
        let mut replies = self.replies.borrow_mut();
        if replies.pending_count() == 0 {
            return;
        }
        let mut now_us = None;
        let settled = replies.poll(context, |receipt, encoded| {
            let now_us = *now_us.get_or_insert_with(clock::monotonic_us);
            self.door.settle(receipt, encoded, now_us, &self.client);
        });
        if settled {
            self.client.pending_count.set(replies.pending_count());
            self.progress.set(true);
        }
    }

    /// Reads and starts commands until the client or its session ends.
    async fn take_in(&self, mut reader: TcpReader) {
        let mut intake = Intake::default();
        let mut read_size = READ_SIZE_MIN;
        loop {
            match self.start_all(&mut intake) {
                Stop::Ended => return,
                Stop::NeedsRoom => {
                    self.step_aside(|| self.has_room(&self.door.limits())).await;
                    continue;
                }
                Stop::NeedsQuiet => {
                    self.step_aside(|| self.replies.borrow().pending_count() == 0).await;
                    continue;
                }
                Stop::NeedsBytes => (),
            }
            if !self.make_room(&mut intake.query, read_size) {
                return;
            }
            if self.replies.borrow().has_output() {
                self.let_others_run().await;
            }
            let room = intake.query.capacity() - intake.query.len();
            let Ok(count @ 1..) = reader.read(&mut intake.query).await else { return };
            self.door.metrics.network_in_bytes.add(count as u64);
            self.client.in_bytes.set(self.client.in_bytes.get() + count as u64);
            if count == room {
                read_size = READ_SIZE_MAX.min(read_size * 2);
            }
            self.keep_step(&intake).await;
        }
    }

    /// Starts the complete commands in the buffer, in order, as long as there is room.
    fn start_all(&self, intake: &mut Intake) -> Stop {
        if intake.query.is_empty() {
            return Stop::NeedsBytes;
        }
        let now_us = clock::monotonic_us();
        self.client.active_us.set(now_us);
        intake.stopwatch.start(now_us);
        intake.started = 0;
        let mut limits = self.door.limits();
        let mut taken = 0;
        let stop = loop {
            if !self.has_room(&limits) {
                break Stop::NeedsRoom;
            }
            if intake.started.is_multiple_of(AHEAD_COUNT_MAX) {
                let keyspace = intake.session.keyspace;
                fetch_ahead(&*self.door.service, keyspace, &intake.query[taken..]);
            }
            intake.started += 1;
            match intake.parser.parse(&intake.query[taken..], &limits.of_parser()) {
                Parse::Incomplete => break Stop::NeedsBytes,
                Parse::Nothing { consumed } => taken += consumed,
                Parse::Command { arguments, consumed } => {
                    let (session, stopwatch) = (&mut intake.session, &mut intake.stopwatch);
                    if !self.start(session, stopwatch, &arguments, consumed, &limits) {
                        break Stop::NeedsQuiet;
                    }
                    taken += consumed;
                    if session.ended {
                        break Stop::Ended;
                    }
                    if stopwatch.interrupted() {
                        limits = self.door.limits(); // `CONFIG SET` may have changed them.
                    }
                }
                Parse::Error(error) => {
                    self.door.metrics.protocol_errors.add(1);
                    self.refuse(&error.to_string());
                    break Stop::Ended;
                }
            }
        };
        intake.stopwatch.stop(clock::monotonic_us(), &self.door.metrics);
        self.consume(&mut intake.query, taken);
        stop
    }

    /// Removes what was started; a buffer that grew large is given back once it is empty.
    fn consume(&self, query: &mut BytesMut, taken: usize) {
        if taken < query.len() {
            query.advance(taken);
        } else if BUFFER_SIZE_KEPT < query.capacity() {
            *query = BytesMut::new();
        } else {
            query.clear();
        }
        self.client.query_bytes.set(query.len());
        self.count_query(query.capacity());
    }

    /// Makes room for the next read. False if all clients together ask for too much. (One client alone
    /// cannot: the parser refuses a command that is too large when it is announced.)
    fn make_room(&self, query: &mut BytesMut, read_size: usize) -> bool {
        let limits = self.door.limits();
        // Twice as much for each read of a large command: few reads of few bytes each.
        let spare = read_size.max(query.len().min(LARGE_READ_SIZE_MAX));
        if query.capacity() - query.len() < spare {
            let grows = BUFFER_SIZE_KEPT < query.len() + spare;
            let total = self.door.metrics.query_bytes.get() as usize;
            if grows && limits.query_size_total_max < total + spare {
                self.refuse(&format!(
                    "OOM all clients' unfinished commands together exceed {} bytes \
                     (`query_size_total_max`), try again later",
                    limits.query_size_total_max
                ));
                return false;
            }
            query.reserve(spare);
            self.count_query(query.capacity());
        }
        true
    }

    /// Sends what is ready, as long as the connection lasts.
    async fn send_out(&self, writer: &mut TcpWriter) -> io::Error {
        let mut bytes = BytesMut::new();
        loop {
            poll_fn(|_| match self.replies.borrow_mut().take_output(&mut bytes) {
                true => Poll::Ready(()),
                false => Poll::Pending, // Nobody wakes us: the other half has its turn before ours.
            })
            .await;
            self.sending.set(bytes.len());
            for piece in bytes.chunks(WRITE_SIZE_MAX) {
                if let Err(error) = self.send_piece(writer, piece).await {
                    return error;
                }
                self.sending.set(self.sending.get() - piece.len());
                self.progress.set(true);
            }
            self.door.metrics.network_out_bytes.add(bytes.len() as u64);
            self.client.out_bytes.set(self.client.out_bytes.get() + bytes.len() as u64);
            if BUFFER_SIZE_KEPT < bytes.capacity() {
                bytes = BytesMut::new();
            } else {
                bytes.clear();
            }
        }
    }

    /// Hands bytes to the kernel, and notes since when it does not take them.
    async fn send_piece(&self, writer: &mut TcpWriter, piece: &[u8]) -> io::Result<()> {
        let mut write = pin!(writer.write_all(piece));
        let result = poll_fn(|context| {
            let polled = write.as_mut().poll(context);
            if polled.is_pending() && self.client.stalled_us.get() == 0 {
                self.client.stalled_us.set(clock::monotonic_us().max(1));
            }
            polled
        })
        .await;
        self.client.stalled_us.set(0);
        result
    }

    /// Whether one more command may start.
    #[inline]
    fn has_room(&self, limits: &Limits) -> bool {
        let replies = self.replies.borrow();
        let unread = replies.size() + self.sending.get();
        let metrics = &self.door.metrics;
        let fits = |size: usize, total: &Counter, total_max: usize| {
            size < BUFFER_SIZE_KEPT || total.get() < total_max as u64
        };
        replies.pending_count() < limits.pipeline_count_max
            && replies.pending_size() < limits.pipeline_size_max
            && unread < limits.output_size_high
            && fits(replies.pending_size(), &metrics.pending_bytes, limits.pipeline_size_total_max)
            && fits(unread, &metrics.output_bytes, limits.output_size_total_max)
    }

    /// Waits for `condition`, which the other half or a pending reply brings about.
    async fn step_aside(&self, condition: impl Fn() -> bool) {
        poll_fn(|_| if condition() { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Lets the outlet have its turn before the next read.
    async fn let_others_run(&self) {
        let mut first = true;
        poll_fn(|_| {
            if std::mem::take(&mut first) {
                self.progress.set(true);
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }

    /// Lets other connections read what they have, so that all their keys are fetched together.
    async fn keep_step(&self, intake: &Intake) {
        let (door, service) = (&self.door, &*self.door.service);
        if !door.wave.join(service, intake.session.keyspace, &intake.query) {
            return;
        }
        let mut first = true;
        poll_fn(|context| {
            if std::mem::take(&mut first) {
                context.waker().wake_by_ref(); // Behind everybody who is ready by now.
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
        door.wave.crest(service);
    }

    /// Brings the totals up to date; returns this connection's unsent bytes.
    fn count_output(&self) -> usize {
        let unread = self.replies.borrow().size() + self.sending.get();
        self.counted_output.count(unread, &self.door.metrics.output_bytes);
        self.client.output_bytes.set(unread);
        unread
    }

    fn count_query(&self, capacity: usize) {
        self.counted_query.count(capacity, &self.door.metrics.query_bytes);
    }

    fn cut_off(&self, unread_bytes: usize) {
        tracing::warn!(
            id = self.client.id, address = %self.client.address, unread_bytes,
            "a client that does not read its replies was cut off"
        );
        self.door.metrics.connections_cut_off.add(1);
    }
}

impl<S> Drop for Connection<S> {
    /// Whatever ended the connection, the totals forget it.
    fn drop(&mut self) {
        let metrics = &self.door.metrics;
        self.counted_output.count(0, &metrics.output_bytes);
        self.counted_query.count(0, &metrics.query_bytes);
        self.counted_queued.count(0, &metrics.query_bytes);
        let replies = self.replies.borrow();
        metrics.commands_pending.subtract(replies.pending_count() as u64);
        metrics.pending_bytes.subtract(replies.pending_size() as u64);
    }
}

/// What a total knows of one connection. Small amounts are everybody's right and not counted.
#[derive(Debug, Default)]
struct Share(Cell<u64>);

impl Share {
    /// The connection now has `size` bytes of what `total` counts.
    #[inline]
    fn count(&self, size: usize, total: &Counter) {
        let size = if size <= BUFFER_SIZE_KEPT { 0 } else { size as u64 };
        let counted = self.0.replace(size);
        if counted != size {
            total.subtract(counted);
            total.add(size);
        }
    }
}
