#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| dedi_gguf::fuzzing::gguf(input));
