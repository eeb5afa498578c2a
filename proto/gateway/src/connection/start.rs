//! How one command starts: parsed, queued by `MULTI`, handed to the service, or answered by the door.

use bytes::{Bytes, BytesMut};
use evenkeel_node::api::{Execution, PendingReply};
use evenkeel_runtime::clock;
use evenkeel_wire::arguments::Arguments;
use evenkeel_wire::command::{self, ClientCommand, Command, CommandError, ReplyMode};
use evenkeel_wire::reply::{Reply, write_error};

use super::Connection;
use crate::commands::{self, Outcome, Scene, transaction};
use crate::limits::{Limits, SLOWLOG_ARGUMENT_SIZE_MAX};
use crate::replies::Receipt;
use crate::service::{ReplyWriter, Service};
use crate::session::{Mute, Session};
use crate::stopwatch::Stopwatch;
use crate::{slowlog, table};

/// One command on its way: what it takes to answer and to count it.
#[derive(Clone, Copy)]
struct Start<'a> {
    /// Its place in the table.
    number: usize,
    arguments: &'a Arguments<'a>,
    /// Bytes it took on the wire.
    size: usize,
    started_us: u64,
    /// The client asked not to be answered.
    silent: bool,
}

impl<S: Service> Connection<S> {
    /// Starts a command. False if it has to wait until all earlier ones have ended: nothing was done.
    #[inline]
    pub(super) fn start(
        &self,
        session: &mut Session,
        stopwatch: &mut Stopwatch,
        arguments: &Arguments<'_>,
        size: usize,
        limits: &Limits,
    ) -> bool {
        if transaction::must_wait(session) && self.replies.borrow().pending_count() > 0 {
            return false;
        }
        let names = &self.door.command_names;
        let info = command::recognise(arguments);
        let number = match info {
            Ok(info) => table::number_of(info),
            Err(_) => table::number(arguments).unwrap_or(names.len() - 1),
        };
        self.door.metrics.commands_processed.add(1);
        self.client.command_count.set(self.client.command_count.get() + 1);
        self.client.last_command.set(names[number]);
        let silent = session.mute != Mute::Off;
        if session.mute == Mute::Next {
            session.mute = Mute::Off;
        }
        let start = Start { number, arguments, size, started_us: stopwatch.since_us(), silent };
        match info.and_then(|info| command::parse_as(info, arguments)) {
            Ok(command) if commands::is_data(&command) && session.transaction.is_none() => {
                if !is_quick(&command) {
                    self.alone(stopwatch, start, |start| self.execute(session, &command, start));
                } else if self.execute(session, &command, &start) && !stopwatch.tick(number) {
                    stopwatch.stop(clock::monotonic_us(), &self.door.metrics);
                    stopwatch.tick(number);
                }
            }
            parsed => {
                self.alone(stopwatch, start, |start| self.local(session, parsed, start, limits))
            }
        }
        true
    }

    /// Carries out what may take long, and times it alone. `carry_out` says whether it has its reply.
    fn alone(
        &self,
        stopwatch: &mut Stopwatch,
        mut start: Start<'_>,
        carry_out: impl FnOnce(&Start<'_>) -> bool,
    ) {
        let begin_us = clock::monotonic_us();
        stopwatch.stop(begin_us, &self.door.metrics);
        start.started_us = begin_us;
        let answered = carry_out(&start);
        let end_us = clock::monotonic_us();
        if answered {
            let duration_us = end_us.saturating_sub(begin_us);
            let counters = &self.door.metrics.commands[start.number];
            counters.calls.add(1);
            counters.duration_us.add(duration_us);
            if self.door.is_slow(duration_us) {
                let words = slowlog::shorten(start.arguments.iter());
                self.door.note_slow(duration_us, words, &self.client);
            }
        }
        stopwatch.start(end_us);
        stopwatch.interrupt();
    }

    /// Hands a data command to the service: the hot path. Whether it has its reply already.
    #[inline]
    fn execute(&self, session: &Session, command: &Command<'_>, start: &Start<'_>) -> bool {
        let (service, keyspace) = (&self.door.service, session.keyspace);
        let (protocol, order) = (session.protocol, &session.order);
        let mut replies = self.replies.borrow_mut();
        let pending = replies.write(|output| {
            let size_before = output.len();
            let writer = ReplyWriter { output, protocol };
            if !service.execute_into(keyspace, start.arguments, command, order, writer) {
                match service.execute(keyspace, start.arguments, command, order) {
                    Execution::Done(reply) => reply.encode(protocol, output),
                    Execution::Pending(pending) => return Some(pending),
                }
            }
            self.written(start, size_before, output);
            None
        });
        drop(replies);
        match pending {
            None => true,
            Some(pending) => self.wait(session, pending, start),
        }
    }

    /// A reply has been written: counts it, and takes it back if nobody wants it.
    #[inline]
    fn written(&self, start: &Start<'_>, size_before: usize, output: &mut BytesMut) {
        self.door.count_if_error(start.number, &output[size_before..]);
        if start.silent {
            output.truncate(size_before);
        }
    }

    /// Keeps a place for a reply that comes later: false, as there is none yet.
    fn wait(&self, session: &Session, pending: PendingReply, start: &Start<'_>) -> bool {
        let argument = start.arguments.get(1).unwrap_or_default();
        let receipt = Receipt {
            command: start.number,
            started_us: start.started_us,
            size: start.size,
            argument_count: start.arguments.count(),
            argument: Bytes::copy_from_slice(
                &argument[..argument.len().min(SLOWLOG_ARGUMENT_SIZE_MAX)],
            ),
        };
        let mut replies = self.replies.borrow_mut();
        replies.wait(pending, session.protocol, start.silent, receipt);
        self.client.pending_count.set(replies.pending_count());
        self.door.metrics.commands_pending.add(1);
        self.door.metrics.pending_bytes.add(start.size as u64);
        false
    }

    /// Everything that is not simply a data command. Whether it has its reply already.
    fn local(
        &self,
        session: &mut Session,
        parsed: Result<Command<'_>, CommandError>,
        start: &Start<'_>,
        limits: &Limits,
    ) -> bool {
        let outcome = match &parsed {
            Ok(command) if transaction::is_queueing(session, command) => {
                let total = self.door.metrics.query_bytes.get();
                transaction::queue(session, command, start.arguments, start.size, (limits, total))
            }
            Ok(command) => commands::answer(&mut self.scene(session, start), command),
            Err(error) => {
                let text = error.to_string();
                let outcome = commands::answer_unparsed(&mut self.scene(session, start), text);
                if matches!(outcome, Outcome::Reply(Reply::Error(_))) {
                    session.note_refusal();
                    self.door.metrics.commands[start.number].rejected.add(1);
                }
                outcome
            }
        };
        self.publish(session);
        // Who asks for replies again is answered at once.
        let asks = Command::Client(ClientCommand::Reply(ReplyMode::On));
        let start = &Start { silent: start.silent && parsed != Ok(asks), ..*start };
        // `HELLO` answers in the protocol it chose: the session has changed by now.
        let protocol = session.protocol;
        match outcome {
            Outcome::Reply(reply) => self.replies.borrow_mut().write(|output| {
                let size_before = output.len();
                reply.encode(protocol, output);
                self.written(start, size_before, output);
            }),
            Outcome::Encoded(encoded) if !start.silent => {
                self.replies.borrow_mut().write(|output| output.extend_from_slice(&encoded));
            }
            Outcome::Later(pending) => return self.wait(session, pending, start),
            Outcome::Encoded(_) | Outcome::Nothing => (),
        }
        true
    }

    fn scene<'a>(&'a self, session: &'a mut Session, start: &Start<'a>) -> Scene<'a, S> {
        Scene { door: &self.door, client: &self.client, session, arguments: start.arguments }
    }

    /// Lets `CLIENT LIST` and the totals see what the session has become.
    fn publish(&self, session: &Session) {
        let queued_size = session.transaction.as_ref().map_or(0, |transaction| transaction.size);
        self.counted_queued.count(queued_size, &self.door.metrics.query_bytes);
        self.client.keyspace.set(session.keyspace);
        self.client.watched_count.set(session.watches.count);
        let queued = session.transaction.as_ref().map(|transaction| transaction.commands.len());
        self.client.queued_count.set(queued);
    }

    /// Says why the connection is about to close.
    pub(super) fn refuse(&self, text: &str) {
        self.door.metrics.count_error(text);
        self.replies.borrow_mut().write(|output| write_error(text, output));
    }
}

/// Whether a command looks at one key and never takes long: such are timed together.
#[inline]
fn is_quick(command: &Command<'_>) -> bool {
    matches!(
        command,
        Command::Get { .. }
            | Command::Set { .. }
            | Command::SetNx { .. }
            | Command::GetDel { .. }
            | Command::GetEx { .. }
            | Command::Append { .. }
            | Command::StrLen { .. }
            | Command::IncrBy { .. }
            | Command::IncrByFloat { .. }
            | Command::Expire { .. }
            | Command::Ttl { .. }
            | Command::PTtl { .. }
            | Command::Persist { .. }
            | Command::Type { .. }
    )
}
