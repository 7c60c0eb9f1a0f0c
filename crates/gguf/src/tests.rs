use std::io::Cursor;

use proptest::prelude::*;

use super::*;

/// A small valid file: one key, one tensor of four floats.
fn sound() -> Vec<u8> {
    let mut file = b"GGUF".to_vec();
    file.extend(3_u32.to_le_bytes());
    file.extend(1_u64.to_le_bytes());
    file.extend(2_u64.to_le_bytes());
    text(&mut file, "general.architecture");
    file.extend(8_u32.to_le_bytes());
    text(&mut file, "llama");
    text(&mut file, "llama.context_length");
    file.extend(4_u32.to_le_bytes());
    file.extend(512_u32.to_le_bytes());
    text(&mut file, "weight");
    file.extend(1_u32.to_le_bytes());
    file.extend(4_u64.to_le_bytes());
    file.extend(0_u32.to_le_bytes());
    file.extend(0_u64.to_le_bytes());
    while !file.len().is_multiple_of(32) {
        file.push(0);
    }
    file.extend([0; 16]);
    file
}

fn text(file: &mut Vec<u8>, text: &str) {
    file.extend((text.len() as u64).to_le_bytes());
    file.extend(text.as_bytes());
}

fn checked(bytes: &[u8]) -> Result<Header, Fault> {
    read(Cursor::new(bytes), bytes.len() as u64)
}

#[test]
fn header_of_a_sound_file_is_read() {
    let header = checked(&sound()).unwrap();
    assert_eq!(header.architecture(), "llama");
    assert_eq!(header.number("context_length"), Some(512));
    assert_eq!(header.tensor_bytes, 16);
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = sound();
    for len in 0..whole.len() {
        checked(&whole[..len]).unwrap_err();
    }
}

#[test]
fn truncated_file_is_refused_with_both_sizes() {
    let whole = sound();
    let error = checked(&whole[..whole.len() - 1]).unwrap_err().to_string();
    assert!(error.contains(&format!("it has {} bytes", whole.len() - 1)), "{error}");
    assert!(error.contains(&format!("needs {}", whole.len())), "{error}");
}

#[test]
fn other_files_are_named_as_such() {
    let error = checked(b"<!doctype html>").unwrap_err().to_string();
    assert!(error.contains("does not begin with the letters GGUF"), "{error}");
}

#[test]
fn impossible_counts_are_refused_without_memory_for_them() {
    let mut file = sound();
    file[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(matches!(checked(&file), Err(Fault::Damaged(_))));
}

/// A header that ends with this metadata value, without tensors.
fn with_value(kind: u32, value: &[u8]) -> Vec<u8> {
    let mut file = b"GGUF".to_vec();
    file.extend(3_u32.to_le_bytes());
    file.extend(0_u64.to_le_bytes());
    file.extend(1_u64.to_le_bytes());
    text(&mut file, "a.key");
    file.extend(kind.to_le_bytes());
    file.extend(value);
    file
}

#[test]
fn values_are_kept_by_their_kind() {
    let kept = |kind, value: &[u8]| checked(&with_value(kind, value)).unwrap().metadata.remove("a.key");
    assert_eq!(kept(7, &[1]), Some(Value::Number(1)));
    assert_eq!(kept(5, &7_i32.to_le_bytes()), Some(Value::Number(7)));
    assert_eq!(kept(5, &(-1_i32).to_le_bytes()), None, "a negative number");
    assert_eq!(kept(6, &1.0_f32.to_le_bytes()), None, "a fraction");
    let mut layers = 4_u32.to_le_bytes().to_vec();
    layers.extend(2_u64.to_le_bytes());
    layers.extend([8, 0, 0, 0, 2, 0, 0, 0]);
    assert_eq!(kept(9, &layers), Some(Value::List(2, Some(8))));
    let mut long = 300_u64.to_le_bytes().to_vec();
    long.extend([b'x'; 300]);
    assert_eq!(kept(8, &long), None, "a chat template");
}

proptest! {
    #[test]
    fn no_byte_flip_brings_it_down(at in 0_usize..200, byte: u8) {
        let mut file = sound();
        let at = at % file.len();
        file[at] = byte;
        let _sound_or_refused = checked(&file);
    }

    #[test]
    fn no_garbage_brings_it_down(tail in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend(tail);
        let _sound_or_refused = checked(&file);
    }
}

/// A file with these texts as metadata and one tensor of that name.
fn of_kind(texts: &[(&str, &str)], tensor: &str) -> Vec<u8> {
    let mut file = b"GGUF".to_vec();
    file.extend(3_u32.to_le_bytes());
    file.extend(1_u64.to_le_bytes());
    file.extend((texts.len() as u64).to_le_bytes());
    for (key, value) in texts {
        text(&mut file, key);
        file.extend(8_u32.to_le_bytes());
        text(&mut file, value);
    }
    text(&mut file, tensor);
    file.extend(1_u32.to_le_bytes());
    file.extend(4_u64.to_le_bytes());
    file.extend(0_u32.to_le_bytes());
    file.extend(0_u64.to_le_bytes());
    file.resize(file.len().next_multiple_of(32) + 16, 0);
    file
}

#[test]
fn kind_is_read_from_the_metadata() {
    let llama = ("general.architecture", "llama");
    for (texts, tensor, kind) in [
        (vec![llama], "blk.0.attn_q.weight", Kind::Model),
        (vec![llama, ("general.type", "model")], "output.weight", Kind::Model),
        (vec![llama, ("general.type", "mmproj")], "v.blk.0.weight", Kind::Projector),
        (vec![("general.architecture", "clip")], "v.blk.0.weight", Kind::Projector),
        (vec![llama, ("general.type", "adapter")], "blk.0.attn_q.weight.lora_a", Kind::Adapter),
        (vec![llama, ("adapter.type", "lora")], "blk.0.attn_q.weight.lora_a", Kind::Adapter),
        (vec![("general.type", "imatrix")], "blk.0.attn_q.weight.in_sum2", Kind::ImportanceMatrix),
        (vec![("general.architecture", "glm4moe")], "blk.46.nextn.eh_proj.weight", Kind::Draft),
        (vec![("general.architecture", "eagle3")], "blk.0.attn_q.weight", Kind::Draft),
    ] {
        let header = checked(&of_kind(&texts, tensor)).unwrap();
        assert_eq!(Kind::of(&header), kind, "{texts:?} {tensor}");
    }
    assert_eq!(Kind::of(&Header::default()), Kind::Vocabulary);
}

#[test]
fn beginning_of_a_file_has_its_kind() {
    let file =
        of_kind(&[("general.architecture", "clip"), ("general.name", "a projector")], "v.blk.0.weight");
    assert_eq!(Kind::of_metadata(&beginning(&file[..90])), Kind::Projector);
    for n in 0..file.len() {
        beginning(&file[..n]);
    }
    assert_eq!(Kind::of_metadata(&beginning(b"<html>")), Kind::Model, "nothing is known");
}

#[test]
fn metadata_key_that_stands_twice_is_refused() {
    let mut file = b"GGUF".to_vec();
    file.extend(3_u32.to_le_bytes());
    file.extend(0_u64.to_le_bytes());
    file.extend(2_u64.to_le_bytes());
    for value in ["llama", "bert"] {
        text(&mut file, "general.architecture");
        file.extend(8_u32.to_le_bytes());
        text(&mut file, value);
    }
    let error = checked(&file).unwrap_err().to_string();
    assert_eq!(error, "it has the metadata key `general.architecture` twice");
}
