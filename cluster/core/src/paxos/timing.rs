//! How long, and how much: every number of the consensus core that an operator may turn.

use crate::consensus::Micros;

/// Durations. `problem` says which of their relations is broken, `Paxos::new` insists on none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timing {
    /// How often the driver sends `Input::Tick`, at least.
    pub tick: Micros,
    /// A leader's rounds of heartbeats start this often.
    pub heartbeat: Micros,
    /// A follower waits at least this long for its leader.
    pub election_min: Micros,
    /// It waits less than this; each replica, each time, draws its own.
    pub election_max: Micros,
    /// A follower that answered a heartbeat elects nobody else for this long.
    pub lease: Micros,
    /// No clock is faster or slower than true time by more than this many parts in a million.
    pub drift_ppm: u32,
}

const DEFAULT: Timing = Timing {
    tick: Micros(10_000),
    heartbeat: Micros(50_000),
    election_min: Micros(250_000),
    election_max: Micros(500_000),
    lease: Micros(200_000),
    drift_ppm: 500,
};

const _: () = assert!(DEFAULT.problem().is_none());

impl Default for Timing {
    fn default() -> Timing {
        DEFAULT
    }
}

impl Timing {
    /// The first broken relation, in words for whoever configured it.
    pub const fn problem(&self) -> Option<&'static str> {
        if self.tick.0 == 0 {
            return Some("tick must be longer than zero");
        }
        if self.heartbeat.0 < self.tick.0 {
            return Some("heartbeat must not be shorter than tick: nobody would notice it is due");
        }
        if self.lease.0 < 2 * self.heartbeat.0 {
            return Some("lease must be two heartbeats or more: one lost message would end it");
        }
        if self.election_min.0 <= self.lease.0 {
            return Some("election_min must be longer than lease: votes would be refused");
        }
        if self.election_max.0 <= self.election_min.0 {
            return Some("election_max must be longer than election_min: candidates would duel");
        }
        if 100_000 < self.drift_ppm {
            return Some("drift_ppm must be 100000 or less: such clocks are broken");
        }
        None
    }

    /// How long a leader may trust a granted lease, on its own clock, from when it *asked*.
    ///
    /// The follower's promise lasts `lease` on a clock that may run fast by `drift`, so at least
    /// lease / (1 + drift) of true time; the leader's clock may run slow by as much. (1 - d) / (1 + d)
    /// is at least 1 - 2d.
    pub(super) fn lease_usable(&self) -> Micros {
        assert!(self.problem().is_none(), "the constructor has checked this");
        let doubt = (self.lease.0 * 2 * u64::from(self.drift_ppm)).div_ceil(1_000_000);
        Micros(self.lease.0.saturating_sub(doubt))
    }
}

/// What one replica may keep in memory and in flight. Each bound admits at least one entry, whatever
/// its size; the driver bounds the size of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Proposed and not yet chosen; beyond it `Refusal::Busy`.
    pub window_count_max: u64,
    /// The same, in bytes.
    pub window_bytes_max: u64,
    /// Payloads of one `Accept`.
    pub accept_count_max: u64,
    /// The same, in bytes.
    pub accept_bytes_max: u64,
    /// Sent to one follower and not yet vouched for, in bytes.
    pub pipeline_bytes_max: u64,
    /// Applied entries kept for followers that are behind; who needs older ones gets a snapshot.
    pub retained_count_max: u64,
    /// The same, in bytes.
    pub retained_bytes_max: u64,
    /// Reads that wait for one confirmation.
    pub reads_waiting_max: u64,
    /// A newcomer becomes a voter once it is no more than so many slots behind what is chosen.
    pub learner_lag_max: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            window_count_max: 4_096,
            window_bytes_max: 8 << 20,
            accept_count_max: 1_024,
            accept_bytes_max: 1 << 20,
            pipeline_bytes_max: 4 << 20,
            retained_count_max: 1_024,
            retained_bytes_max: 1 << 20,
            reads_waiting_max: 65_536,
            learner_lag_max: 64,
        }
    }
}
