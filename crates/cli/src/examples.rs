//! Examples in the help of every command. A test runs each through the parser.

/// Examples of a command, by its words without the program's: `("endpoints list", &["dedi endpoints list --watch"])`.
pub type Examples = [(&'static str, &'static [&'static str])];

pub(crate) const EXAMPLES: &Examples = &[
    (
        "endpoints",
        &[
            "dedi endpoints list",
            "dedi endpoints describe demo",
            "dedi list    # `endpoints` can be left out",
        ],
    ),
    (
        "endpoints create",
        &[
            "dedi endpoints create --model dedi/demo --hardware 1x_cpu_8gb --wait",
            "dedi endpoints create --model dedi/demo --hardware 1x_cpu_8gb --plan",
            "dedi endpoints create --model dedi/demo --hardware 1x_cpu_8gb \\\n      \
             --display-name demo --min-replicas 0 --inactive-timeout 2h",
        ],
    ),
    ("endpoints retrieve", &["dedi endpoints get demo", "dedi endpoints get demo -o yaml"]),
    ("endpoints describe", &["dedi endpoints describe demo"]),
    (
        "endpoints list",
        &[
            "dedi endpoints list",
            "dedi endpoints list --watch",
            "dedi endpoints list -o wide",
            "dedi endpoints list -o name",
        ],
    ),
    (
        "endpoints update",
        &[
            "dedi endpoints update demo --min-replicas 1 --max-replicas 4",
            "dedi endpoints update demo --inactive-timeout 30m",
            "dedi endpoints update demo --display-name \"Support bot\"",
        ],
    ),
    (
        "endpoints start",
        &["dedi endpoints start demo", "dedi endpoints start demo --wait --wait-timeout 10m"],
    ),
    ("endpoints stop", &["dedi endpoints stop demo", "dedi endpoints stop demo --wait"]),
    (
        "endpoints wait",
        &[
            "dedi endpoints wait demo --timeout 5m",
            "dedi endpoints wait demo --for state=STOPPED",
            "dedi endpoints wait demo --for deleted",
        ],
    ),
    ("endpoints delete", &["dedi endpoints delete demo", "dedi endpoints delete demo --yes"]),
    (
        "endpoints hardware",
        &[
            "dedi endpoints hardware",
            "dedi endpoints hardware --model dedi/demo",
            "dedi endpoints hardware --model dedi/demo --available -o name",
        ],
    ),
    ("endpoints availability-zones", &["dedi endpoints availability-zones"]),
    ("endpoints why", &["dedi endpoints why demo", "dedi endpoints why demo --json"]),
    (
        "endpoints events",
        &[
            "dedi endpoints events demo",
            "dedi endpoints events demo --follow",
            "dedi endpoints events demo --after 120 -o wide",
        ],
    ),
    (
        "endpoints logs",
        &[
            "dedi endpoints logs demo",
            "dedi endpoints logs demo --follow",
            "dedi endpoints logs demo --attempt 3 --tail 500",
        ],
    ),
    ("endpoints replicas", &["dedi endpoints replicas demo", "dedi endpoints replicas demo -o wide"]),
    (
        "chat",
        &[
            "dedi chat demo",
            "dedi chat demo \"What is the capital of France?\"",
            "dedi chat demo --system \"Answer in one sentence.\" - < question.txt",
        ],
    ),
    ("models", &["dedi models list", "dedi models pull ORG/NAME"]),
    ("models list", &["dedi models list", "dedi models list --json"]),
    (
        "models pull",
        &[
            "dedi models pull ORG/NAME",
            "dedi models pull ORG/NAME@v1.0:Q8_0",
            "dedi models pull ORG/NAME:NAME-Q5_K_M.gguf --no-wait",
        ],
    ),
    ("models verify", &["dedi models verify dedi/demo", "dedi models verify ORG/NAME --accept"]),
    ("models rm", &["dedi models rm ORG/NAME", "dedi models rm ORG/NAME --force --yes"]),
    (
        "models share",
        &["dedi models share ORG/NAME", "dedi models share ORG/NAME --with sales --with support"],
    ),
    ("keys", &["dedi keys list", "dedi keys create --role inference --name app"]),
    (
        "keys create",
        &[
            "dedi keys create --role inference --name app --expires-in 30d",
            "dedi keys create --role developer --owner sales",
            "dedi keys create --role inference --model dedi/demo --model \"ORG/*\"",
        ],
    ),
    ("keys list", &["dedi keys list", "dedi keys list -o wide"]),
    ("keys revoke", &["dedi keys revoke 3f9a2c1b"]),
    (
        "usage",
        &["dedi usage", "dedi usage --from 2026-11-01 --to 2026-12-01", "dedi usage --endpoint demo --json"],
    ),
    ("audit", &["dedi audit", "dedi audit --limit 20 -o wide", "dedi audit --after 120 --json"]),
    ("whoami", &["dedi whoami", "dedi whoami --base-url http://127.0.0.1:7437"]),
    (
        "completions",
        &[
            "dedi completions bash > ~/.local/share/bash-completion/completions/dedi",
            "dedi completions zsh > ~/.zfunc/_dedi",
        ],
    ),
    ("man", &["dedi man --dir ~/.local/share/man/man1"]),
];
