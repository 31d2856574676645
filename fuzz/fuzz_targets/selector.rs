//! Fuzzes label and field selectors.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| imagestream_apiserver_fuzz::selector(bytes));
