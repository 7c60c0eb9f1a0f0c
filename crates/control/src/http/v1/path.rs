//! The one variable of a path.

use axum::extract::{FromRequestParts, Path};
use dedi_domain::ModelName;
use http::request::Parts;

use crate::http::api::Api;
use crate::http::error::ApiError;
use crate::service::ServiceError;
use crate::text::shown;

/// As it was sent, decoded.
pub(super) struct PathText(pub(super) String);

/// An endpoint's id or name, as a sentence may repeat it.
pub(super) struct Named(pub(super) String);

/// A model's name.
pub(super) struct NamedModel(pub(super) ModelName);

impl FromRequestParts<Api> for PathText {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, api).await;
        let Path(text) = path.map_err(|_not_text| ApiError::request("The path could not be read"))?;
        Ok(Self(text))
    }
}

impl FromRequestParts<Api> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let PathText(text) = PathText::from_request_parts(parts, api).await?;
        Ok(Self(shown(&text)))
    }
}

impl FromRequestParts<Api> for NamedModel {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let PathText(text) = PathText::from_request_parts(parts, api).await?;
        Ok(Self(ModelName::parse(&text).map_err(|_malformed| ServiceError::no_model(&text))?))
    }
}
