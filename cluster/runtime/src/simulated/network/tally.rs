//! What the weather of the links did: counted where it is done, so that weather that was asked for and
//! weather that was felt can be told apart. Nothing here changes a run.

/// How often each kind of trouble happened, since the run began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Writes that were sent, over any link but a node's way to itself.
    pub sent: u64,
    /// Times that the long tail struck and took time.
    pub tails: u64,
    /// Writes and connection requests of which a packet was lost.
    pub losses: u64,
    /// Writes that waited for the wire behind others.
    pub queued: u64,
    /// Writes that went out in two pieces.
    pub fragments: u64,
    /// Reads that got less than had arrived and than they had room for.
    pub short_reads: u64,
    /// Writes of which only a part was taken, because the window was full.
    pub short_writes: u64,
    /// Writes that reset their connection.
    pub resets: u64,
    /// Writes that were sent twice.
    pub duplicates: u64,
    /// Writes that were sent with a bit flipped.
    pub corruptions: u64,
    /// Connections whose one end died without a word while the other was open.
    pub half_open: u64,
    /// Connection requests to which nobody answered.
    pub unanswered: u64,
}
