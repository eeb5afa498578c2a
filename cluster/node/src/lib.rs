//! cluster/node
