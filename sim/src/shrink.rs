//! Making a list small while something stays true of it: delta debugging (Zeller and Hildebrandt,
//! "Simplifying and isolating failure-inducing input", 2002), by sweeps of ever smaller pieces.
//!
//! **Invariant.** What is returned was either tried and found good, or is what was given.

/// Tries candidates, in order of preference; the index of the first that is good, if one is. It may
/// try several at a time, and may refuse to try any when its time is up.
pub trait Try<T> {
    /// See the trait.
    fn first_good(&mut self, candidates: &[Vec<T>]) -> Option<usize>;

    /// How many candidates it tries at a time.
    fn width(&self) -> usize;
}

/// The shortest good ending among lengths that grow by half each time, or all of it. Cheap when what
/// matters came last, as it does when a run stops at its failure.
pub fn ending<T: Clone>(items: Vec<T>, attempt: &mut impl Try<T>) -> Vec<T> {
    let mut lengths = vec![0];
    let mut length = 4;
    while length < items.len() {
        lengths.push(length);
        length += length.div_ceil(2);
    }
    let candidates: Vec<Vec<T>> =
        lengths.into_iter().map(|length| items[items.len() - length..].to_vec()).collect();
    match attempt.first_good(&candidates) {
        Some(index) => candidates.into_iter().nth(index).unwrap_or(items),
        None => items,
    }
}

/// A list from which no single item can be spared, unless the attempts ran out of time.
pub fn minimise<T: Clone>(mut items: Vec<T>, attempt: &mut impl Try<T>) -> Vec<T> {
    let mut size = items.len().div_ceil(2).max(1);
    while !items.is_empty() {
        let before = items.len();
        items = sweep(items, size, attempt);
        if size == 1 && items.len() == before {
            break;
        }
        size = (size / 2).max(1);
    }
    items
}

/// Tries to spare each piece of so many items, once.
fn sweep<T: Clone>(mut items: Vec<T>, size: usize, attempt: &mut impl Try<T>) -> Vec<T> {
    let mut at = 0;
    while at < items.len() {
        let begins: Vec<usize> =
            (at..items.len()).step_by(size).take(attempt.width().max(1)).collect();
        let without = |begin: usize| {
            let end = (begin + size).min(items.len());
            [&items[..begin], &items[end..]].concat()
        };
        let mut candidates: Vec<Vec<T>> = begins.iter().map(|&begin| without(begin)).collect();
        match attempt.first_good(&candidates) {
            // Those before it are needed; what follows has moved up to its place.
            Some(index) => (items, at) = (candidates.swap_remove(index), begins[index]),
            None => at += begins.len() * size,
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    struct Needs {
        all_of: Vec<u32>,
        tried: u32,
        tries_max: u32,
    }

    impl Try<u32> for Needs {
        fn first_good(&mut self, candidates: &[Vec<u32>]) -> Option<usize> {
            if self.tried >= self.tries_max {
                return None;
            }
            self.tried += candidates.len() as u32;
            let is_good = |items: &Vec<u32>| self.all_of.iter().all(|item| items.contains(item));
            candidates.iter().position(is_good)
        }

        fn width(&self) -> usize {
            2
        }
    }

    /// Goal: exactly what is needed is left, and not many attempts are. Method: a few random items of
    /// a thousand.
    #[test]
    fn what_is_left_is_what_is_needed() {
        let mut random = Random::new(5, "shrink");
        for count in [0, 1, 2, 5, 9] {
            let mut all_of: Vec<u32> = (0..count).map(|_| random.below(1_000) as u32).collect();
            all_of.sort_unstable();
            all_of.dedup();
            let mut needs = Needs { all_of: all_of.clone(), tried: 0, tries_max: 10_000 };
            let items = ending((0..1_000).collect(), &mut needs);
            assert_eq!(minimise(items, &mut needs), all_of);
            assert!(needs.tried < 40 + 60 * count, "{} attempts for {count}", needs.tried);
        }
    }

    /// Goal: no time, no change. Method: an attempt that refuses.
    #[test]
    fn out_of_time_what_was_given_comes_back() {
        let mut needs = Needs { all_of: vec![3], tried: 0, tries_max: 0 };
        let items: Vec<u32> = (0..10).collect();
        assert_eq!(ending(items.clone(), &mut needs), items);
        assert_eq!(minimise(items.clone(), &mut needs), items);
    }
}
