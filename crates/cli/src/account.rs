//! `dedi keys …` and `dedi whoami`.

use clap::{Subcommand, ValueEnum};
use dedi_api::{CreateKeyRequest, KeyInfo, List, WhoamiV1};

use crate::Context;
use crate::client::encoded;
use crate::console::{Console, harmless};
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
        KeysCommand::Create { role, owner, name, expires_in_days } => {
            let request = CreateKeyRequest {
                role: Some(role.word().to_owned()),
                owner,
                name,
                expires_in_days: expires_in_days.map(i64::from),
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
