//! Follows a reply through its form, token by token.

use std::fmt;
use std::time::{Duration, Instant};

use llguidance::Matcher;
use llguidance::api::StopReason;
use llguidance::toktrie::SimpleVob;

use super::form::{FormError, first_line};

/// Longest computing of the tokens that may come next. It is the model's thread that waits, and with it every reply.
const MASK_MAX: Duration = Duration::from_secs(1);

/// Follows one reply through its form.
pub struct Grammar(pub(super) Matcher);

impl Grammar {
    /// The tokens that may come next.
    ///
    /// # Errors
    /// When the form became too costly to follow.
    pub fn mask(&mut self) -> Result<SimpleVob, FormError> {
        let started = Instant::now();
        let mask =
            self.0.compute_mask_or_eos().map_err(|it| FormError::Unfit(first_line(&it.to_string())))?;
        self.check()?;
        let took = started.elapsed();
        if took > MASK_MAX {
            return Err(FormError::Unfit(format!(
                "it took {} ms to tell what may come next",
                took.as_millis()
            )));
        }
        Ok(mask)
    }

    /// Takes the next token; true when nothing more can follow.
    ///
    /// # Errors
    /// When the form became too costly to follow.
    pub fn advance(&mut self, token: u32) -> Result<bool, FormError> {
        self.0.consume_token(token).map_err(|it| FormError::Unfit(first_line(&it.to_string())))?;
        self.check()?;
        Ok(self.0.is_stopped())
    }

    /// The same form, for another reply.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self(self.0.deep_clone())
    }

    /// A grammar that gave up looks like one that has ended.
    fn check(&self) -> Result<(), FormError> {
        match self.0.stop_reason() {
            StopReason::LexerTooComplex | StopReason::ParserTooComplex => {
                Err(FormError::Unfit("it is too complex to follow".to_owned()))
            }
            StopReason::InternalError | StopReason::Cancelled => {
                let message = self.0.get_error().unwrap_or_else(|| "it could not be followed".to_owned());
                Err(FormError::Unfit(first_line(&message)))
            }
            StopReason::NotStopped
            | StopReason::MaxTokensTotal
            | StopReason::MaxTokensParser
            | StopReason::NoExtension
            | StopReason::NoExtensionBias
            | StopReason::EndOfSentence => Ok(()),
        }
    }
}

impl fmt::Debug for Grammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Grammar")
    }
}
