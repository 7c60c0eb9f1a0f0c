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
    match select(&Source::parse(source).unwrap(), &repo(paths), &[]) {
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
    assert_eq!(chosen("a/x:Q8_0", &repo), "a/x has several files `Q8_0`; these would work: y-Q8_0, x-Q8_0");
    assert_eq!(chosen("a/x:Q2_K", &repo), "a/x has no file `Q2_K`; these would work: y-Q8_0, Q4_K_M, x-Q8_0");
    assert!(chosen("a/x:Q2_K", &["model.safetensors"]).contains("no complete GGUF model"));
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
    assert_eq!(
        select(&Source::parse("a/x").unwrap(), &repo(&["../../x.gguf"]), &[]).unwrap()[0].name,
        "x.gguf"
    );
}

#[test]
fn model_is_told_from_what_lies_beside_it() {
    let multimodal = ["X-UD-Q8_K_XL.gguf", "X-mmproj-F16.gguf", "X.mmproj-Q8_0.gguf", "mmproj-Q8_0.gguf"];
    for source in ["a/x", "a/x:Q8_K_XL", "a/x:UD-Q8_K_XL", "a/x:X-UD-Q8_K_XL"] {
        assert_eq!(chosen(source, &multimodal), "X-UD-Q8_K_XL.gguf", "{source}");
    }
    for source in ["a/x:Q8_0", "a/x:F16"] {
        let label = source.trim_start_matches("a/x:");
        let said = format!("a/x has no file `{label}`; these would work: Q8_K_XL");
        assert_eq!(chosen(source, &multimodal), said);
    }
    for other in [
        "X-lora-Q4_K_M.gguf",
        "lora-X-Q4_K_M.gguf",
        "mtp-X-Q4_K_M.gguf",
        "X-NextN-Q4_K_M.gguf",
        "X-draft-Q4_K_M.gguf",
        "X-eagle3-Q4_K_M.gguf",
    ] {
        assert_eq!(chosen("a/x", &["X-Q8_0.gguf", other]), "X-Q8_0.gguf", "{other}");
        assert_eq!(chosen("a/x:Q4_K_M", &["X-Q4_K_M.gguf", other]), "X-Q4_K_M.gguf", "{other}");
        assert_eq!(
            chosen("a/x:Q4_K_M", &["X-Q8_0.gguf", other]),
            "a/x has no file `Q4_K_M`; these would work: Q8_0"
        );
        assert_eq!(chosen("a/x", &[other]), other, "the name of a model may have the word");
    }
    let weighed = ["imatrix.gguf", "X.imatrix.gguf", "imatrix.dat", "X-imatrix-Q4_K_M.gguf", "X-Q8_0.gguf"];
    assert_eq!(chosen("a/x", &weighed), "X-imatrix-Q4_K_M.gguf");
    assert_eq!(
        chosen("a/x", &["mmproj-F16.gguf", "imatrix.gguf"]),
        "a/x has no GGUF model, only what belongs to one, such as mmproj-F16.gguf"
    );
}

#[test]
fn folder_is_a_label_too() {
    let folders = ["Q4_K_M/model.gguf", "BF16/model.gguf", "UD-IQ1_S/model.gguf"];
    assert_eq!(chosen("a/x:Q4_K_M", &folders), "Q4_K_M/model.gguf");
    assert_eq!(chosen("a/x:bf16", &folders), "BF16/model.gguf");
    assert_eq!(chosen("a/x:IQ1_S", &folders), "UD-IQ1_S/model.gguf");
    assert_eq!(chosen("a/x", &folders), "Q4_K_M/model.gguf");
    assert_eq!(chosen("a/x:Q8_0", &folders), "a/x has no file `Q8_0`; these would work: BF16, Q4_K_M, IQ1_S");
    let split = ["x-Q4_K_M/x-00001-of-00002.gguf", "x-Q4_K_M/x-00002-of-00002.gguf", "BF16/x-Q8_0.gguf"];
    assert_eq!(chosen("a/x:Q4_K_M", &split), format!("{} {}", split[0], split[1]));
    assert_eq!(chosen("a/x:Q8_0", &split), split[2], "the file's own name goes before its folder's");
    assert!(chosen("a/x:BF16", &split).contains("has no file `BF16`"));
}

#[test]
fn ending_counts_in_whatever_case() {
    let wanted = select(&Source::parse("a/x:Q8_0").unwrap(), &repo(&["X-Q8_0.GGUF"]), &[]).unwrap();
    assert_eq!((wanted[0].path.as_str(), wanted[0].name.as_str()), ("X-Q8_0.GGUF", "X-Q8_0.gguf"));
}
