//! What `range` gives.

use std::sync::Arc;

use minijinja::value::Value;

/// The numbers of `range`.
#[derive(Debug)]
pub(super) struct Range {
    pub(super) start: i64,
    pub(super) stop: i64,
    pub(super) step: i64,
    pub(super) length: usize,
}

impl minijinja::value::Object for Range {
    fn repr(self: &Arc<Self>) -> minijinja::value::ObjectRepr {
        minijinja::value::ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let at = key.as_usize().filter(|it| *it < self.length)?;
        let at = i64::try_from(at).ok()?;
        Some(Value::from(self.start.wrapping_add(at.wrapping_mul(self.step))))
    }

    fn enumerate(self: &Arc<Self>) -> minijinja::value::Enumerator {
        minijinja::value::Enumerator::Seq(self.length)
    }

    fn render(self: &Arc<Self>, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.step == 1 {
            write!(out, "range({}, {})", self.start, self.stop)
        } else {
            write!(out, "range({}, {}, {})", self.start, self.stop, self.step)
        }
    }
}
