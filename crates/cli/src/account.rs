//! `dedi keys …`, `dedi audit` and `dedi whoami`.

use clap::{Args, Subcommand, ValueEnum};
use dedi_api::{AuditEvent, CreateKeyRequest, KeyInfo, List, WhoamiV1};

use crate::client::encoded;
use crate::console::{Console, harmless};
use crate::context::Context;
use crate::error::Result;
use crate::render;

/// What can be done with API keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key; it is shown once
    Create {
        /// What it allows
        #[arg(long, value_enum, default_value_t = Role::Developer)]
        role: Role,
        /// Account it belongs to; only an admin key may name another than its own
        #[arg(long, value_name = "OWNER")]
        owner: Option<String>,
        /// Name for people
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Days until it expires [default: never]
        #[arg(long, value_name = "DAYS")]
        expires_in_days: Option<u32>,
        /// Model or endpoint it may use, repeatable: ORG/NAME, ORG/*, an endpoint's name or id [default: all]
        #[arg(long = "model", value_name = "MODEL")]
        models: Vec<String>,
    },
    /// List keys, without their secrets
    #[command(visible_alias = "ls")]
    List,
    /// Make a key useless at once
    #[command(visible_alias = "rm")]
    Revoke {
        /// The key's id, from the list
        id: String,
    },
}

/// What a key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Asks endpoints, nothing else
    Inference,
    /// Reads; no inference
    Viewer,
    /// Creates, updates, starts, stops
    Developer,
    /// Deletes and manages keys, too
    Owner,
    /// All of that, and the keys of every account; of endpoints it sees its own account's, as all do
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
        KeysCommand::Create { role, owner, name, expires_in_days, models } => {
            let request = CreateKeyRequest {
                role: Some(role.word().to_owned()),
                owner,
                name,
                expires_in_days: expires_in_days.map(i64::from),
                models: (!models.is_empty()).then_some(models),
            };
            let key: KeyInfo = context.client.post("/keys", &request).await?;
            if context.json {
                return console.json(&key);
            }
            console.say(&format!(
                "Made the {} key {} of {}. It is shown this once:",
                key.role, key.id, key.owner
            ));
            console.data(&harmless(key.key.as_deref().unwrap_or_default()))
        }
        KeysCommand::List => {
            let list: List<KeyInfo> = context.client.get("/keys").await?;
            if context.json { console.json(&list.data) } else { console.data(&render::keys(&list.data)) }
        }
        KeysCommand::Revoke { id } => {
            context.client.delete(&format!("/keys/{}", encoded(&id))).await?;
            console.say(&format!("Revoked {id}."));
            Ok(())
        }
    }
}

/// Flags of `audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Only entries after this one, by the number at the start of its line [default: the newest]
    #[arg(long, value_name = "ENTRY_ID")]
    after: Option<i64>,
    /// How many at most, up to 1000
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
    /// Only this account's; only an admin key may name another than its own
    #[arg(long, value_name = "OWNER")]
    owner: Option<String>,
}

/// Who did what.
pub(crate) async fn audit(args: AuditArgs, context: &Context, console: &mut Console) -> Result {
    let mut query = vec![format!("limit={}", args.limit)];
    query.extend(args.after.map(|it| format!("after={it}")));
    query.extend(args.owner.map(|it| format!("owner={}", encoded(&it))));
    let list: List<AuditEvent> = context.client.get(&crate::context::with_query("/audit", &query)).await?;
    if context.json {
        return console.json(&list.data);
    }
    if list.data.is_empty() {
        console.say("No entries.");
        return Ok(());
    }
    console.data(&render::audit(&list.data))
}

/// Whose key is used, and where.
pub(crate) async fn whoami(context: &Context, console: &mut Console) -> Result {
    let who: WhoamiV1 = context.client.get("/whoami").await?;
    if context.json {
        return console.json(&who);
    }
    console.data(&render::block(&[
        ("Server", context.client.base_url().to_owned()),
        ("Key", harmless(&who.api_key_id)),
        ("Account", harmless(&who.organization_name)),
        ("Project", harmless(&who.project_name)),
    ]))
}
