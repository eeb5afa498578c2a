//! cluster/runtime
