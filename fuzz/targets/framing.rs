#![no_main]
#![allow(dead_code, reason = "only a part of these files is needed")]

#[path = "../../crates/server/src/framing.rs"]
mod framing;
#[path = "../../crates/server/src/limits.rs"]
mod limits;

libfuzzer_sys::fuzz_target!(|input: &[u8]| framing::fuzzing::framing(input));
