//! proto/wire
