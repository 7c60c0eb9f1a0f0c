use super::*;

fn repo(paths: &[&str]) -> Vec<Listed> {
    let file = |(n, path): (usize, &&str)| Listed {
        path: (*path).to_owned(),
        n_bytes: Some(n as u64 + 1),
        hash: Hash::of_etag(&"a".repeat(64)),
    };
    paths.iter().enumerate().map(file).collect()
}

fn chosen(source: &str, paths: &[&str]) -> String {
    match select(&Source::parse(source).unwrap(), &repo(paths)) {
        Ok(files) => files.into_iter().map(|it| it.path).collect::<Vec<_>>().join(" "),
        Err(err) => err.to_string(),
    }
}

#[test]
fn one_quantisation_is_taken_the_usual_one_first() {
    let repo =
        ["README.md", "x-Q8_0.gguf", "x-Q4_K_M.gguf", "x-f16.gguf", "mmproj-x.gguf", "config.json", "x.py"];
    assert_eq!(chosen("a/x", &repo), "x-Q4_K_M.gguf README.md");
    assert_eq!(chosen("a/x", &["x.f16.gguf", "x.q8_0.gguf"]), "x.q8_0.gguf");
    assert_eq!(chosen("a/x", &["big.gguf", "demo.gguf"]), "big.gguf", "without labels the smallest");
    assert_eq!(chosen("a/x", &["model.safetensors", "config.json", "x-Q2_K.gguf"]), "x-Q2_K.gguf");
}

#[test]
fn a_file_is_named_by_path_name_or_quantisation() {
    let repo = ["x-Q8_0.gguf", "x-Q4_K_M.gguf", "sub/y-Q8_0.gguf"];
    assert_eq!(chosen("a/x:sub/y-Q8_0.gguf", &repo), "sub/y-Q8_0.gguf");
    assert_eq!(chosen("a/x:x-Q8_0", &repo), "x-Q8_0.gguf");
    assert_eq!(chosen("a/x:q4_k_m", &repo), "x-Q4_K_M.gguf");
    assert_eq!(chosen("a/x:Q8_0", &repo), "a/x has several files `Q8_0`; there are: sub/y-Q8_0, x-Q8_0");
    assert_eq!(chosen("a/x:Q2_K", &repo), "a/x has no file `Q2_K`; there are: sub/y-Q8_0, x-Q4_K_M, x-Q8_0");
    assert!(chosen("a/x:Q2_K", &["model.safetensors"]).contains("no complete GGUF file"));
}

#[test]
fn a_split_model_is_taken_whole_or_not_at_all() {
    let parts = ["q/x-Q4_0-00001-of-00002.gguf", "q/x-Q4_0-00002-of-00002.gguf", "x-Q8_0.gguf"];
    assert_eq!(chosen("a/x", &parts), "q/x-Q4_0-00001-of-00002.gguf q/x-Q4_0-00002-of-00002.gguf");
    assert_eq!(chosen("a/x:Q4_0", &parts), "q/x-Q4_0-00001-of-00002.gguf q/x-Q4_0-00002-of-00002.gguf");
    assert_eq!(chosen("a/x", &parts[1..]), "x-Q8_0.gguf");
    assert_eq!(chosen("a/x", &parts[1..2]), "a/x has no complete GGUF model: parts of it are missing");
}

#[test]
fn safetensors_come_with_config_and_tokenizer_and_nothing_else() {
    let repo = [
        "config.json",
        "tokenizer.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "consolidated.safetensors",
        "pytorch_model.bin",
        "modeling.py",
        "onnx/model.safetensors",
        "LICENSE",
        ".gitattributes",
    ];
    assert_eq!(
        chosen("a/x", &repo),
        "model-00001-of-00002.safetensors model-00002-of-00002.safetensors config.json tokenizer.json LICENSE"
    );
    assert!(
        chosen("a/x", &["config.json", "model-00001-of-00002.safetensors"])
            .ends_with("has 1 of its 2 parts of safetensors")
    );
    assert!(chosen("a/x", &["config.json", "a.safetensors", "b.safetensors"]).contains("none says which"));
    assert!(chosen("a/x", &["adapter_config.json", "adapter_model.safetensors"]).contains("an adapter"));
    assert!(chosen("a/x", &["vae/model.safetensors", "x.safetensors"]).contains("no config.json"));
}

#[test]
fn pickles_and_bare_code_are_refused_with_a_sentence() {
    assert_eq!(
        chosen("a/x", &["config.json", "pytorch_model.bin"]),
        "a/x has its weights only as pickle files (pytorch_model.bin), which can run code when they are loaded; \
         dedi takes GGUF and safetensors"
    );
    assert_eq!(
        chosen("a/x", &["config.json", "modeling_x.py"]),
        "a/x has no weights that can be loaded, only Python code (modeling_x.py), which dedi does not run"
    );
    assert_eq!(chosen("a/x", &["README.md"]), "a/x has neither GGUF nor safetensors files");
}

#[test]
fn names_that_could_leave_the_folder_are_not_taken() {
    for bad in ["x/..gguf/.gguf", ".hidden.gguf", "a\\b.gguf", "x\n.gguf"] {
        assert!(chosen("a/x", &[bad]).contains("name is not taken"), "{bad}: {}", chosen("a/x", &[bad]));
    }
    assert_eq!(select(&Source::parse("a/x").unwrap(), &repo(&["../../x.gguf"])).unwrap()[0].name, "x.gguf");
}
