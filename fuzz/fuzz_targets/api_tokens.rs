#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| peat_node::fuzzing::api_tokens(input));
