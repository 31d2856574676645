//! Bodies of all kinds, by the work that they cause.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| imagestream_apiserver_fuzz::work(bytes));
