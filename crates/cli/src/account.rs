//! `dedi keys …`, `dedi audit` and `dedi whoami`.

use clap::{Args, Subcommand, ValueEnum};
use dedi_api::{AuditEvent, CreateKeyRequest, KeyInfo, List, WhoamiV1};

use crate::client::encoded;
use crate::console::{Console, harmless};
use crate::context::{Context, with_query};
use crate::durations;
use crate::error::Result;
use crate::render;

/// What can be done with API keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Create a key; it is shown only once
    #[command(alias = "add", alias = "new")]
    Create {
        /// Role, which says what the key allows
        #[arg(long, value_enum, default_value_t = Role::Developer)]
        role: Role,
        /// Account of the key; an account other than your own needs an admin key
        #[arg(long, value_name = "OWNER")]
        owner: Option<String>,
        /// Display name
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Time until it expires, such as 30d; a plain number is days [default: never]
        #[arg(long, alias = "expires-in-days", value_name = "DURATION", value_parser = durations::days)]
        expires_in: Option<u32>,
        /// Model or endpoint the key may use: ORG/NAME, ORG/*, or an endpoint's name or id; repeatable [default: all]
        #[arg(long = "model", value_name = "MODEL")]
        models: Vec<String>,
    },
    /// List keys, without their secrets
    #[command(visible_alias = "ls")]
    List,
    /// Revoke a key immediately
    #[command(visible_alias = "rm", alias = "delete", alias = "remove")]
    Revoke {
        /// Id of the key, as `dedi keys list` shows it
        id: String,
    },
}

/// What a key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Inference only
    Inference,
    /// Read-only, no inference
    Viewer,
    /// Inference, and creating, updating, starting and stopping endpoints
    Developer,
    /// The same, and deleting endpoints and managing keys
    Owner,
    /// The same, and managing the keys and models of every account
    Admin,
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Self::Inference => "inference",
            Self::Viewer => "viewer",
            Self::Developer => "developer",
            Self::Owner => "owner",
            Self::Admin => "admin",
        }
    }
}

pub(crate) async fn run(command: KeysCommand, context: &Context, console: &mut Console) -> Result {
    match command {
        KeysCommand::Create { role, owner, name, expires_in, models } => {
            let request = CreateKeyRequest {
                role: Some(role.word().to_owned()),
                owner,
                name,
                expires_in_days: expires_in.map(i64::from),
                models: (!models.is_empty()).then_some(models),
            };
            let key: KeyInfo = context.client.post("/keys", &request).await?;
            if !context.is_text() {
                return context.print_data(console, &key, [&key.id]);
            }
            console.say(&format!(
                "Created the {} key {} for {}. Copy it now; it will not be shown again:",
                key.role, key.id, key.owner
            ));
            console.data(&harmless(key.key.as_deref().unwrap_or_default()))
        }
        KeysCommand::List => {
            let list: List<KeyInfo> = context.client.get("/keys").await?;
            let ids: Vec<&str> = list.data.iter().map(|it| it.id.as_str()).collect();
            context.print(console, &list.data, ids, |list, view| render::keys(list, view))
        }
        KeysCommand::Revoke { id } => {
            context.client.delete(&format!("/keys/{}", encoded(&id))).await?;
            console.say(&format!("Revoked {id}."));
            let revoked = serde_json::json!({"object": "api_key", "id": id, "deleted": true});
            context.print_data(console, &revoked, [&id])
        }
    }
}

/// Flags of `audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Show entries after this one, by its number in the first column [default: the newest]
    #[arg(long, value_name = "ENTRY_ID")]
    after: Option<i64>,
    /// Maximum number of entries, up to 1000
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
    /// Account; one other than your own needs an admin key
    #[arg(long, value_name = "OWNER")]
    owner: Option<String>,
}

/// Who did what.
pub(crate) async fn audit(args: AuditArgs, context: &Context, console: &mut Console) -> Result {
    let mut query = vec![format!("limit={}", args.limit)];
    query.extend(args.after.map(|it| format!("after={it}")));
    query.extend(args.owner.map(|it| format!("owner={}", encoded(&it))));
    let list: List<AuditEvent> = context.client.get(&with_query("/audit", &query)).await?;
    if list.data.is_empty() && context.is_text() {
        console.say("No entries.");
        return Ok(());
    }
    let ids: Vec<String> = list.data.iter().map(|it| it.id.to_string()).collect();
    context.print(console, &list.data, ids, |list, view| render::audit(list, view))
}

/// The current key, its account and its server.
pub(crate) async fn whoami(context: &Context, console: &mut Console) -> Result {
    let who: WhoamiV1 = context.client.get("/whoami").await?;
    context.print(console, &who, [&who.api_key_id], |who, view| {
        let rows = [
            ("Server", context.client.base_url().to_owned()),
            ("Key", harmless(&who.api_key_id)),
            ("Account", harmless(&who.organization_name)),
            ("Project", harmless(&who.project_name)),
        ];
        render::block(&rows, view)
    })
}
