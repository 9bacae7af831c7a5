//! The merge of task logs: bytes in, bytes out. No file, socket, thread or clock.
//!
//! A [`scan::Scanner`] turns the bytes of one source into timed records; a [`merge::Merger`] gives
//! the records of all sources out in order. Whoever drives them reads and writes.
#![forbid(unsafe_code)]

pub mod dedup;
pub mod filter;
pub mod generate;
pub mod given;
pub mod index;
pub mod json;
pub mod level;
pub mod masks;
pub mod merge;
pub mod messages;
pub mod outgoing;
pub mod outline;
pub mod pack;
pub mod render;
pub mod scan;
pub mod stamp;
pub mod tree;
