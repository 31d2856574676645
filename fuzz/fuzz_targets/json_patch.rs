//! Fuzzes JSON patches.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| imagestream_apiserver_fuzz::json_patch(bytes));
