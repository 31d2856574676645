//! Fuzzes continue tokens of lists.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| imagestream_apiserver_fuzz::continue_token(bytes));
