//! The loop of one generator thread: all its connections, until its time or its source ends.

use std::time::Duration;

use mio::{Events, Interest, Poll, Token};

use super::connection::Connection;
use super::{Place, Share, Source};
use crate::clock;
use crate::error::BenchError;
use crate::report::Tally;

/// So many requests of a connection wait for answers before, at a fixed rate, later ones wait for
/// them. Their latency counts from when they were due, all the same.
const FLIGHT_COUNT_MAX: usize = 1024;
/// For how long answers are waited for at the end.
const DRAIN_NS: u64 = 2_000_000_000;
/// For how long a closed loop waits for anything to happen.
const PATIENCE: Duration = Duration::from_millis(100);

/// Requests that fall due at fixed moments.
struct Schedule {
    next_ns: f64,
    interval_ns: f64,
    /// Whose turn it is.
    connection: usize,
    /// The source had nothing more when it was last asked.
    dry: bool,
}

/// Asks what `source` says and counts what falls into the window.
pub(crate) fn drive(
    place: &Place,
    share: &Share,
    source: &mut impl Source,
    tally: &mut Tally,
) -> Result<(), BenchError> {
    let failed = |error| BenchError::server("cannot wait for sockets", error);
    let mut poll = Poll::new().map_err(failed)?;
    let mut events = Events::with_capacity(1024);
    let mut connections = open(place, share.connections, &poll)?;
    let mut schedule = share.interval_ns.map(|interval_ns| Schedule {
        next_ns: clock::now_ns() as f64,
        interval_ns,
        connection: 0,
        dry: false,
    });
    for (index, connection) in connections.iter_mut().enumerate() {
        top_up(connection, index, share, source, clock::now_ns())?;
    }
    loop {
        let now = clock::now_ns();
        let asking = now < share.window.end_ns;
        if let (Some(schedule), true) = (&mut schedule, asking) {
            ask_due(schedule, &mut connections, source, now)?;
        }
        let in_flight = connections.iter().any(|connection| 0 < connection.in_flight());
        let over = share.window.end_ns.saturating_add(DRAIN_NS) <= now;
        // A share without a schedule has asked all that it may before it comes here.
        let dry = schedule.as_ref().is_none_or(|schedule| schedule.dry);
        if over || (!in_flight && (dry || !asking)) {
            break;
        }
        // Sleeping for less than a millisecond is not to be had: a schedule is kept by looking again.
        let patience = if schedule.is_some() { Duration::ZERO } else { PATIENCE };
        match poll.poll(&mut events, Some(patience)) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                return Err(failed(error));
            }
            _ => (),
        }
        for event in &events {
            let Token(index) = event.token();
            let connection = &mut connections[index];
            if event.is_readable() || event.is_read_closed() {
                receive(connection, index, share, source, tally)?;
            }
            if schedule.is_none() {
                top_up(connection, index, share, source, clock::now_ns())?;
            }
            connection.send()?;
        }
    }
    let now = clock::now_ns();
    for since_ns in connections.iter().flat_map(Connection::unanswered) {
        tally.unanswered(now.saturating_sub(since_ns));
    }
    Ok(())
}

fn open(place: &Place, count: usize, poll: &Poll) -> Result<Vec<Connection>, BenchError> {
    let mut connections = Vec::with_capacity(count);
    for (index, &address) in place.addresses.iter().cycle().take(count).enumerate() {
        let mut connection = Connection::open(address, place.keyspace)?;
        poll.registry()
            .register(&mut connection.stream, Token(index), Interest::READABLE | Interest::WRITABLE)
            .map_err(|error| BenchError::server("cannot wait for a socket", error))?;
        connections.push(connection);
    }
    Ok(connections)
}

/// A closed loop's next requests: as many as the pipeline holds, when it is its turn.
fn top_up(
    connection: &mut Connection,
    index: usize,
    share: &Share,
    source: &mut impl Source,
    now: u64,
) -> Result<(), BenchError> {
    let turn = share.smooth || connection.in_flight() == 0;
    if share.interval_ns.is_some() || !turn || share.window.end_ns <= now {
        return Ok(());
    }
    while connection.in_flight() < share.pipeline {
        let Some(operation) = source.next(index) else { break };
        connection.ask(operation, now, source);
    }
    connection.send()
}

/// All requests that are due by now.
fn ask_due(
    schedule: &mut Schedule,
    connections: &mut [Connection],
    source: &mut impl Source,
    now: u64,
) -> Result<(), BenchError> {
    let first = schedule.connection;
    let (mut turns, mut empty) = (0, 0);
    while schedule.next_ns <= now as f64 && empty < connections.len() {
        let connection = &mut connections[schedule.connection];
        if FLIGHT_COUNT_MAX <= connection.in_flight() {
            break;
        }
        match source.next(schedule.connection) {
            None => empty += 1,
            Some(operation) => {
                connection.ask(operation, schedule.next_ns as u64, source);
                schedule.next_ns += schedule.interval_ns;
                empty = 0;
            }
        }
        schedule.connection = (schedule.connection + 1) % connections.len();
        turns += 1;
    }
    schedule.dry = empty == connections.len();
    for offset in 0..connections.len().min(turns) {
        connections[(first + offset) % connections.len()].send()?;
    }
    Ok(())
}

fn receive(
    connection: &mut Connection,
    index: usize,
    share: &Share,
    source: &mut impl Source,
    tally: &mut Tally,
) -> Result<(), BenchError> {
    let mut now = None;
    connection.receive(|landing| {
        // One look at the clock for all that came in one piece.
        let now = *now.get_or_insert_with(clock::now_ns);
        source.answered(index, landing.operation, landing.outcome);
        // At a fixed rate a request belongs to the moment it was due, however late its answer comes.
        let moment = if share.interval_ns.is_some() { landing.since_ns } else { now };
        if (share.window.begin_ns..share.window.end_ns).contains(&moment) {
            tally.landed(&landing.operation, landing.outcome, now - landing.since_ns, moment);
        }
        if let Some(refusal) = landing.refusal {
            tally.refusal.get_or_insert(refusal);
        }
    })
}
