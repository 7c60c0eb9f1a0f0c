//! What a text is rendered for: how wide, how detailed, in colours or not, and at which time.

use jiff::Timestamp;

/// How text for people is rendered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// Columns to fit into; none where nothing is shortened: stdout is no terminal, or the view is wide.
    pub width: Option<usize>,
    pub colours: bool,
    /// Whether everything is shown, with times instead of ages.
    pub is_wide: bool,
    pub now: Timestamp,
}
