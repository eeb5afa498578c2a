//! A register whose writes all write different values: each read names the write it saw, and then
//! sorting decides (Gibbons and Korach, "Testing shared memories", 1997).
//!
//! The write of a value and its reads stand next to each other in any order: a *cluster*. A cluster
//! must come before another if one of its operations ends before one of the other's begins.
//!
//! ```text
//! cluster of a   |--set a--|     |-get a-|        ended: the first end      begun: the last begin
//! cluster of b        |--set b--|     |-get b-|   a before b:  a.ended < b.begun
//! ```
//!
//! **Invariant.** There is an order unless a read comes before its write, or two clusters must each
//! come before the other. (A longer circle contains such a pair: let `a` be the cluster of the circle
//! that ends first. Whoever precedes a cluster ends before it begins, so all of them begin after
//! `a.ended`: `a` must come before each, and one of them before `a`.)

/// A read or a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// When it was asked.
    pub invoked: u64,
    /// When it had certainly taken effect; `u64::MAX` if only its value says that it did.
    pub returned: u64,
    /// Which value: 0 is the one before all writes, the others are numbered from 1.
    pub value: usize,
    /// Whether it wrote the value, or read it.
    pub is_write: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Cluster {
    write: Option<usize>,
    /// The first end, as an operation.
    ended: Option<usize>,
    /// The last begin.
    begun: Option<usize>,
}

/// The operations that no order explains, by their index in `accesses`; `None` if there is an order.
/// Writes that nobody read and that may not have happened are to be left out. Cost: one sort of the
/// values.
///
/// # Panics
/// If a value is written twice, or the first one at all.
pub fn contradiction(accesses: &[Access]) -> Option<Vec<usize>> {
    let value_count = accesses.iter().map(|access| access.value + 1).max().unwrap_or(1);
    let mut clusters = vec![Cluster::default(); value_count];
    for (index, access) in accesses.iter().enumerate() {
        let cluster = &mut clusters[access.value];
        if access.is_write {
            assert!(access.value > 0 && cluster.write.is_none(), "each value is written once");
            cluster.write = Some(index);
        }
        if cluster.ended.is_none_or(|other| access.returned < accesses[other].returned) {
            cluster.ended = Some(index);
        }
        if cluster.begun.is_none_or(|other| access.invoked > accesses[other].invoked) {
            cluster.begun = Some(index);
        }
    }
    misread(accesses, &clusters).or_else(|| crossed(accesses, &clusters))
}

/// A read of what nobody wrote, or wrote too late.
fn misread(accesses: &[Access], clusters: &[Cluster]) -> Option<Vec<usize>> {
    accesses.iter().enumerate().find_map(|(index, access)| match clusters[access.value].write {
        _ if access.is_write || access.value == 0 => None,
        None => Some(vec![index]),
        Some(write) if access.returned < accesses[write].invoked => Some(vec![write, index]),
        Some(_) => None,
    })
}

/// Two clusters that must each come before the other.
fn crossed(accesses: &[Access], clusters: &[Cluster]) -> Option<Vec<usize>> {
    // Every time one later, so that the first value's write, which nobody asked for, ends at zero.
    let ended = |cluster: &Cluster, is_first: bool| match cluster.ended {
        Some(index) if !is_first => accesses[index].returned.saturating_add(1),
        _ => 0,
    };
    let begun = |cluster: &Cluster| cluster.begun.map_or(0, |index| accesses[index].invoked + 1);
    let known = |&(value, cluster): &(usize, &Cluster)| value == 0 || cluster.ended.is_some();
    let mut sorted: Vec<(u64, u64, usize)> = clusters
        .iter()
        .enumerate()
        .filter(known)
        .map(|(value, cluster)| (ended(cluster, value == 0), begun(cluster), value))
        .collect();
    sorted.sort_unstable();
    // For each beginning of the list, the two clusters that begin last.
    let mut latest: Vec<[Option<usize>; 2]> = Vec::with_capacity(sorted.len());
    let mut best: [Option<usize>; 2] = [None, None];
    for index in 0..sorted.len() {
        let begins_later =
            |than: Option<usize>| than.is_none_or(|than| sorted[index].1 > sorted[than].1);
        if begins_later(best[0]) {
            best = [Some(index), best[0]];
        } else if begins_later(best[1]) {
            best[1] = Some(index);
        }
        latest.push(best);
    }
    for (index, &(ended, begun, value)) in sorted.iter().enumerate() {
        let earlier = sorted.partition_point(|other| other.0 < begun);
        let Some(last) = earlier.checked_sub(1) else { continue };
        let other = latest[last].into_iter().flatten().find(|&other| other != index);
        if let Some(other) = other.filter(|&other| ended < sorted[other].1) {
            return Some(witnesses(clusters, [value, sorted[other].2]));
        }
    }
    None
}

/// What shows that two clusters cross: at most three operations of each.
fn witnesses(clusters: &[Cluster], values: [usize; 2]) -> Vec<usize> {
    let of_value = |value: usize| {
        let Cluster { write, ended, begun } = clusters[value];
        // The first value was there before anything ended.
        [write, ended.filter(|_| value > 0), begun].into_iter().flatten()
    };
    let mut all: Vec<usize> = values.into_iter().flat_map(of_value).collect();
    all.sort_unstable();
    all.dedup();
    all
}
