//! Fuzzes apply configurations.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| imagestream_apiserver_fuzz::apply(bytes));
