//! proto/client
