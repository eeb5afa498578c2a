//! Randomness of the operating system.

/// Eight random bytes, unpredictable to others. Cost: one system call, so not for every request.
pub fn random_u64() -> u64 {
    getrandom::u64().expect("Linux has getrandom(2) since 3.17")
}
