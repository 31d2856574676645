//! Fuzzes YAML bodies.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| imagestream_apiserver_fuzz::yaml_body(bytes));
