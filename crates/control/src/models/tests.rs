use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::testing::{Gguf, gguf, obey_modes};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.0.path().join("models").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn store(&self) -> ModelStore {
        ModelStore::new(self.0.path().join("models"))
    }
}

fn name(text: &str) -> ModelName {
    ModelName::parse(text).unwrap()
}

#[test]
fn a_gguf_header_gives_the_sizes() {
    let folder = Folder::new();
    folder.write("dedi/demo/demo.gguf", &gguf(&Gguf::default()));
    let facts = folder.store().facts(&name("dedi/demo")).unwrap();
    assert_eq!(
        facts,
        ModelFacts {
            weights_bytes: 4_096,
            n_layers: 2,
            n_kv_heads: 2,
            key_value_dim: 32,
            embedding_dim: 64,
            vocab_size: 3,
            context_tokens_max: 512,
            architecture: "llama".into(),
            is_embedding: false,
        }
    );
}

#[test]
fn every_cut_of_a_gguf_file_is_refused_with_its_name() {
    let whole = gguf(&Gguf { n_elements: 16, ..Gguf::default() });
    let folder = Folder::new();
    for n in 0..whole.len() {
        folder.write("a/b/b.gguf", &whole[..n]);
        let said = folder.store().facts(&name("a/b")).unwrap_err().to_string();
        assert!(said.starts_with("b.gguf: "), "cut to {n}: {said}");
    }
}

#[test]
fn flipped_bits_and_absurd_counts_never_panic_or_allocate() {
    let whole = gguf(&Gguf { n_elements: 16, ..Gguf::default() });
    let n_bytes = whole.len() as u64;
    let read = |bytes: &[u8]| {
        let folder = Folder::new();
        folder.write("a/b/b.gguf", bytes);
        folder.store().facts(&name("a/b"))
    };
    for at in 0..whole.len() - 64 {
        for bit in [0, 3, 7] {
            let mut bad = whole.clone();
            bad[at] ^= 1 << bit;
            if let Ok(facts) = read(&bad) {
                assert!(facts.weights_bytes <= n_bytes, "byte {at} bit {bit}");
            }
        }
    }
    for at in [8, 16] {
        let mut bad = whole.clone();
        bad[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        let said = read(&bad).unwrap_err().to_string();
        assert!(said.contains("are the most that is read"), "{said}");
    }
}

#[test]
fn a_folder_of_safetensors_is_read_from_headers_and_config() {
    let folder = Folder::new();
    let header =
        br#"{"__metadata__":{"format":"pt"},"w":{"dtype":"F16","shape":[4,4],"data_offsets":[0,32]}}"#;
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend([0; 32]);
    let config = br#"{"model_type":"llama","architectures":["LlamaForCausalLM"],"num_hidden_layers":3,"num_attention_heads":4,
        "num_key_value_heads":2,"hidden_size":64,"vocab_size":100,"max_position_embeddings":2048,"extra":{"a":1}}"#;
    folder.write("a/b/model-00001-of-00002.safetensors", &file);
    folder.write("a/b/model-00002-of-00002.safetensors", &file);
    let refused = folder.store().facts(&name("a/b")).unwrap_err().to_string();
    assert!(refused.starts_with("config.json"), "{refused}");
    folder.write("a/b/config.json", config);
    let store = folder.store();
    let facts = store.facts(&name("a/b")).unwrap();
    assert_eq!((facts.weights_bytes, facts.n_kv_heads, facts.key_value_dim), (64, 2, 32));
    assert!(store.files(&name("a/b")).unwrap().path.is_dir());

    for n in 0..file.len() {
        folder.write("a/b/model-00002-of-00002.safetensors", &file[..n]);
        assert!(folder.store().facts(&name("a/b")).is_err(), "cut to {n}");
    }
    let mut claims = file.clone();
    claims[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    folder.write("a/b/model-00002-of-00002.safetensors", &claims);
    assert!(folder.store().facts(&name("a/b")).is_err());
}

#[test]
fn a_changed_file_is_read_anew() {
    let folder = Folder::new();
    folder.write("a/b/b.gguf", &gguf(&Gguf::default()));
    let store = folder.store();
    assert_eq!(store.facts(&name("a/b")).unwrap().n_layers, 2);
    folder.write("a/b/b.gguf", &gguf(&Gguf { n_layers: 5, n_elements: 2_048, ..Gguf::default() }));
    assert_eq!(store.facts(&name("a/b")).unwrap().n_layers, 5);
}

#[test]
fn links_out_of_the_store_lead_nowhere() {
    let folder = Folder::new();
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir_all(outside.path().join("x/y")).unwrap();
    fs::write(outside.path().join("x/y/y.gguf"), gguf(&Gguf::default())).unwrap();
    folder.write("in/side/side.gguf", &gguf(&Gguf::default()));
    let root = folder.0.path().join("models");
    std::os::unix::fs::symlink(outside.path().join("x"), root.join("org")).unwrap();
    fs::create_dir_all(root.join("a/b")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("x/y/y.gguf"), root.join("a/b/b.gguf")).unwrap();
    std::os::unix::fs::symlink(root.join("in/side"), root.join("a/same")).unwrap();
    let store = folder.store();
    for (model, target) in [("org/y", "x/y"), ("a/b", "x/y/y.gguf")] {
        let said = match store.files(&name(model)) {
            Err(ModelError::Unusable(said)) => said,
            other => panic!("{other:?}"),
        };
        let target = outside.path().canonicalize().unwrap().join(target);
        assert!(said.contains(&format!("out of the model store, to {}, and", target.display())), "{said}");
        assert!(said.contains("move the files into the store"), "{said}");
    }
    assert_eq!(store.list(), [name("a/same"), name("in/side")], "a link within the store is fine");
}

#[test]
fn a_split_model_needs_all_its_parts() {
    let folder = Folder::new();
    let part = gguf(&Gguf::default());
    folder.write("a/b/x-00001-of-00002.gguf", &part);
    let said = folder.store().facts(&name("a/b")).unwrap_err().to_string();
    assert!(said.contains("1 of the model's 2 parts"), "{said}");
    folder.write("a/b/x-00002-of-00002.gguf", &part);
    assert_eq!(folder.store().facts(&name("a/b")).unwrap().weights_bytes, 8_192);
}

#[test]
fn what_the_disk_changes_by_itself_is_found_where_everything_is_read() {
    let folder = Folder::new();
    let mut bytes = gguf(&Gguf::default());
    folder.write("a/b/b.gguf", &bytes);
    let (store, model) = (folder.store(), name("a/b"));
    let verify = |scope| store.verify(&model, scope, &verify::Progress::default());
    assert!(!store.stamps(&model).unwrap().1, "nobody has read it");
    assert_eq!(verify(Scope::Changed).unwrap().n_bytes, bytes.len() as u64);
    assert!(folder.store().stamps(&model).unwrap().1, "it is written down");
    let record = folder.0.path().join("models/.verified/a/b.json");
    let before = fs::read_to_string(&record).unwrap();
    let old = serde_json::to_value(&store.stamps(&model).unwrap().0["b.gguf"]).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    folder.write("a/b/b.gguf", &bytes);
    // As if the file had no other times than before: only its content tells.
    let new = serde_json::to_value(&store.stamps(&model).unwrap().0["b.gguf"]).unwrap();
    assert_ne!(old, new);
    let mut record_json: serde_json::Value = serde_json::from_str(&before).unwrap();
    record_json["b.gguf"]["stamp"] = new;
    fs::write(&record, record_json.to_string()).unwrap();
    let store = folder.store();
    let verify = |scope| store.verify(&model, scope, &verify::Progress::default());
    assert!(store.stamps(&model).unwrap().1 && verify(Scope::Changed).is_ok(), "its stamp is trusted");
    let said = verify(Scope::All).unwrap_err().to_string();
    assert!(said.starts_with("b.gguf: its content is not what it was"), "{said}");
    assert!(!store.stamps(&model).unwrap().1, "and from then on it is not");
    assert!(!folder.store().stamps(&model).unwrap().1, "nor after a restart");
    assert!(store.remove(&model).unwrap() && !record.exists());
}

#[test]
fn half_of_a_file_is_never_what_it_must_be() {
    let folder = Folder::new();
    let whole = gguf(&Gguf::default());
    let (store, model) = (folder.store(), name("a/b"));
    let verify = |scope| store.verify(&model, scope, &verify::Progress::default());
    let record = folder.0.path().join("models/.verified/a/b.json");
    for part in [&whole[..whole.len() / 2], &[], &whole[1..]] {
        folder.write("a/b/b.gguf", part);
        for scope in [Scope::Changed, Scope::All, Scope::Accept] {
            let said = verify(scope).unwrap_err().to_string();
            assert!(said.starts_with("b.gguf: ") && !record.exists(), "{said}");
        }
    }
    folder.write("a/b/b.gguf", &whole);
    let all = |n_new| verify::Right { n_files: 1, n_new, n_bytes: whole.len() as u64 };
    assert_eq!(verify(Scope::All).unwrap(), all(1), "nothing was known of it");
    assert_eq!(verify(Scope::All).unwrap(), all(0));
    assert!(record.exists());
}

#[test]
fn what_can_not_be_read_for_a_while_is_read_again() {
    let folder = Folder::new();
    folder.write("a/b/b.gguf", &gguf(&Gguf::default()));
    let (store, model) = (folder.store(), name("a/b"));
    let file = folder.0.path().join("models/a/b/b.gguf");
    let unreadable = |what: Result<ModelFacts, ModelError>| match what {
        Err(ModelError::Unreadable(what)) => what,
        other => panic!("{other:?}"),
    };
    let may = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    obey_modes();
    may(0);
    let said = unreadable(store.facts(&model));
    assert!(said.starts_with("b.gguf: it can't be read ("), "{said}");
    may(0o600);
    assert_eq!(store.facts(&model).unwrap().n_layers, 2, "though nothing about the file has changed");

    // A manifest that can't be read does not make a pulled model one that somebody put there.
    fs::create_dir(folder.0.path().join("models/a/b/manifest.json")).unwrap();
    let said = unreadable(folder.store().facts(&model));
    assert!(said.starts_with("manifest.json: it can't be read ("), "{said}");
    assert!(matches!(store.stamps(&model), Err(ModelError::Unreadable(_))));
}

#[test]
fn model_is_told_from_what_lies_beside_it_by_content() {
    let model = gguf(&Gguf::default());
    let of = |kind| gguf(&Gguf { kind, ..Gguf::default() });
    for (beside, bytes) in [
        ("a-mmproj-f16.gguf", of("mmproj")),
        ("a-projector.gguf", of("mmproj")),
        ("imatrix.gguf", of("imatrix")),
        ("a-lora.gguf", of("adapter")),
        // No whole file at all.
        ("mmproj-broken.gguf", model[..40].to_vec()),
        ("a-projector.gguf", of("mmproj")[..200].to_vec()),
    ] {
        let folder = Folder::new();
        folder.write("a/b/x-q4_k_m.gguf", &model);
        folder.write(&format!("a/b/{beside}"), &bytes);
        let store = folder.store();
        assert_eq!(store.list(), [name("a/b")], "{beside}");
        assert!(store.files(&name("a/b")).unwrap().path.ends_with("x-q4_k_m.gguf"), "{beside}");
        assert_eq!(store.facts(&name("a/b")).unwrap().n_layers, 2, "{beside}");
        fs::remove_file(folder.0.path().join("models/a/b/x-q4_k_m.gguf")).unwrap();
        let said = store.facts(&name("a/b")).unwrap_err().to_string();
        assert!(said.starts_with(&format!("{beside}: ")), "{said}");
    }
    let folder = Folder::new();
    folder.write("a/b/mmproj-by-name-only.gguf", &model);
    assert_eq!(folder.store().facts(&name("a/b")).unwrap().n_layers, 2, "a name is no proof");
}

#[test]
fn ending_of_a_model_file_counts_in_whatever_case() {
    let folder = Folder::new();
    folder.write("a/b/X-Q8_0.GGUF", &gguf(&Gguf::default()));
    assert_eq!(folder.store().list(), [name("a/b")]);
    assert_eq!(folder.store().facts(&name("a/b")).unwrap().n_layers, 2);
    for part in 1..=2 {
        folder.write(&format!("a/c/x-0000{part}-of-00002.GGUF"), &gguf(&Gguf::default()));
    }
    let said = folder.store().facts(&name("a/c")).unwrap_err().to_string();
    assert!(said.contains("must end with `.gguf` in lower case; rename them"), "{said}");
}
