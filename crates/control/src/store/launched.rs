//! Whether an endpoint ever ran.

use dedi_domain::EndpointId;

use super::error::StoreError;
use super::sqlite::Store;

impl Store {
    /// Whether anything was ever launched for this endpoint, or about to be: its model was here then.
    pub async fn was_launched(&self, endpoint: EndpointId) -> Result<bool, StoreError> {
        let was: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM attempts WHERE endpoint = ?)")
            .bind(endpoint.to_string())
            .fetch_one(&self.reader)
            .await?;
        Ok(was)
    }
}
