//! The finished binary, from outside: see `tests/black_box/main.rs`.
