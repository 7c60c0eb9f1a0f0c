//! Asks for a download. What others hold is joined, or left as it is; nothing takes its place unasked.

use dedi_domain::model_rights::{Holders, Holding, ModelAct};
use dedi_domain::{ModelName, Owner};

use super::ModelPulls;
use crate::hub::{Ask, Due, Pull, Source};
use crate::service::caller::Caller;
use crate::service::error::{Conflict, ServiceError};
use crate::service::models::{must_by_role, named};
use crate::store::{AuditAction, Claim};

/// A download that is asked for.
pub(crate) struct PullRequest {
    /// `ORG/NAME`, with `@REVISION` and `:FILE` where they are not the usual ones.
    pub(crate) source: String,
    /// Whom it is for; by default the caller's tenant, or everyone where an admin asks.
    pub(crate) owner: Option<Owner>,
    /// Whether endpoints may be given another revision than they were created with.
    pub(crate) replaces: bool,
}

impl ModelPulls {
    pub(crate) async fn start(&self, caller: &Caller, request: PullRequest) -> Result<Pull, ServiceError> {
        must_by_role(caller, ModelAct::Pull)?;
        let Self { models } = self;
        let source = Source::parse(&request.source).map_err(|what| ServiceError::invalid("model", what))?;
        let model = source.model.clone();
        let holding = models.must(caller, &model, ModelAct::Pull).await?;
        let of = holder(caller, request.owner)?;
        let holders = models.store.holders().await?;
        let is_here = models.is_here(&model).await?;
        let others = match holders.get(&model) {
            Some(Holders::Tenants(tenants)) => tenants.iter().any(|it| Some(it) != of.as_ref()),
            Some(Holders::Everyone) | None => false,
        };
        let in_progress =
            |message: String| ServiceError::Conflict { with: Conflict::PullInProgress, message };
        if !is_here && others && models.pulls.is_other(&source) {
            return Err(in_progress(format!(
                "Another account fetches {model} in another revision or file; ask an admin of this server"
            )));
        }
        let mut ask = Ask { of: of.clone(), ..Ask::default() };
        if is_here {
            ask.keeps = self.keeps(caller, &model, request.replaces).await?;
            if request.replaces {
                ask.dues.push(Due::Repin(caller.reach().cloned()));
            }
        }
        let holds = of.as_ref().map_or(holding != Holding::Foreign, |of| {
            holders.get(&model).is_none_or(|it| it.holding(of) != Holding::Foreign)
        });
        // What others fetched is the caller's too when the hub has shown it the same; what is not here, at once, so that
        // nobody else sees it when it comes.
        let claims = !is_here && (!holds || !holders.contains_key(&model));
        if let Some(of) = &of
            && is_here
            && !holds
        {
            ask.dues.push(Due::Hold(of.clone()));
        }
        tracing::info!(%model, by = %caller.0.key, "a download of {source} was asked for");
        let entry = caller.audit_entry(AuditAction::ModelPull, model.as_str(), format!("asked for {source}"));
        let now = models.clock.now();
        if claims {
            models.store.claim_model(&model, of.as_ref(), Some(&entry), now).await?;
        } else {
            models.store.add_audit(&entry, now).await?;
        }
        match models.pulls.start(source, ask) {
            Ok(pull) => Ok(pull),
            Err(what) => {
                if claims && let Some(tenant) = of {
                    models.store.drop_claim(&Claim { model, tenant, at: now }).await?;
                }
                Err(in_progress(what))
            }
        }
    }

    /// Why another revision must not take the place of the one that is here, if it must not.
    async fn keeps(
        &self,
        caller: &Caller,
        model: &ModelName,
        replaces: bool,
    ) -> Result<Option<String>, ServiceError> {
        let stays = format!("{model} stays as it is");
        match self.models.must(caller, model, ModelAct::Replace).await {
            Ok(_) => {}
            Err(ServiceError::Forbidden(_) | ServiceError::NotFound(_)) => {
                return Ok(Some(format!(
                    "{stays}: the store has it in another revision, which is not this account's alone; ask an admin of \
                     this server"
                )));
            }
            Err(err) => return Err(err),
        }
        let users = self.models.users(caller, model).await?;
        let users: Vec<_> = users.iter().collect();
        let are_foreign = users.iter().any(|it| !it.is_own) && !caller.is_admin();
        if users.is_empty() || (replaces && !are_foreign) {
            return Ok(None);
        }
        let which = named(&users);
        Ok(Some(format!(
            "{stays}: {which} need the revision that is here; with --replace (\"replace\": true) they are given this one at \
             their next launch"
        )))
    }
}

/// The tenant that a download is for; none for the operator.
fn holder(caller: &Caller, named: Option<Owner>) -> Result<Option<Owner>, ServiceError> {
    match named {
        named if caller.is_admin() => Ok(named),
        None => Ok(Some(caller.owner().clone())),
        Some(named) if named == *caller.owner() => Ok(Some(named)),
        Some(_) => {
            let message = "Only an admin key has permission to fetch models for another owner";
            Err(ServiceError::Forbidden(message.to_owned()))
        }
    }
}
