//! proto/gateway
