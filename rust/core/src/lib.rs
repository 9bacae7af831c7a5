//! The merge of task logs: bytes in, bytes out. No file, socket, thread or clock.
#![forbid(unsafe_code)]
