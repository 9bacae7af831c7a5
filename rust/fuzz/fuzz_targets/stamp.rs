#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| logflume_fuzz::stamp::check(data));
