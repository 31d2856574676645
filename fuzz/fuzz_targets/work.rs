//! Fuzzes the work that bodies of all kinds cause.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| imagestream_apiserver_fuzz::work(bytes));
