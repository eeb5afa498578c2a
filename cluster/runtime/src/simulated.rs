//! The world's control panel. (Only the production side of this crate is in place so far.)
