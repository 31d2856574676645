//! Fuzzes strategic merge patches.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| imagestream_apiserver_fuzz::strategic_merge_patch(bytes));
