//! How values are read where serde by itself would take more, or less, than JSON says.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::endpoints::Nullable;

/// A value that is written as an object and not, as serde would also take it, as the list of its fields.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Visit<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Visit<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, fields: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
            }
        }
        input.deserialize_map(Visit(PhantomData))
    }
}

/// Reads an object.
pub(crate) fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(input: D) -> Result<T, D::Error> {
    Object::deserialize(input).map(|it| it.0)
}

/// Reads an object or null.
pub(crate) fn object_or_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    input: D,
) -> Result<Option<T>, D::Error> {
    Ok(Option::<Object<T>>::deserialize(input)?.map(|it| it.0))
}

/// Reads a list of objects, or null.
pub(crate) fn objects<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    input: D,
) -> Result<Option<Vec<T>>, D::Error> {
    let all = Option::<Vec<Object<T>>>::deserialize(input)?;
    Ok(all.map(|items| items.into_iter().map(|it| it.0).collect()))
}

/// A whole number: `60.0` is as whole as `60`, and some clients write it so.
pub(crate) fn whole<'de, D: Deserializer<'de>>(input: D) -> Result<Option<i64>, D::Error> {
    Ok(Option::<Whole<false>>::deserialize(input)?.map(|it| it.0))
}

/// The same for what a later check bounds: one too large for the type is its bound, so that the check names the limit.
pub(crate) fn integer<'de, D: Deserializer<'de>>(input: D) -> Result<Option<i64>, D::Error> {
    Ok(Option::<Whole<true>>::deserialize(input)?.map(|it| it.0))
}

/// The same where absent and null mean different things.
pub(crate) fn nullable_integer<'de, D: Deserializer<'de>>(input: D) -> Result<Nullable<i64>, D::Error> {
    integer(input).map(Some)
}

/// `SATURATES` takes the type's bound for what is above it.
struct Whole<const SATURATES: bool>(i64);

impl<'de, const SATURATES: bool> Deserialize<'de> for Whole<SATURATES> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Visit<const SATURATES: bool>;
        impl<const SATURATES: bool> Visitor<'_> for Visit<SATURATES> {
            type Value = Whole<SATURATES>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer")
            }
            fn visit_i64<E: de::Error>(self, it: i64) -> Result<Self::Value, E> {
                Ok(Whole(it))
            }
            fn visit_u64<E: de::Error>(self, it: u64) -> Result<Self::Value, E> {
                match i64::try_from(it) {
                    Ok(it) => Ok(Whole(it)),
                    Err(_) if SATURATES => Ok(Whole(i64::MAX)),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Unsigned(it), &self)),
                }
            }
            fn visit_f64<E: de::Error>(self, it: f64) -> Result<Self::Value, E> {
                whole_of(it).map(Whole)
            }
        }
        input.deserialize_any(Visit::<SATURATES>)
    }
}

/// The number as an integer, if it is one.
pub(crate) fn whole_of<E: de::Error>(number: f64) -> Result<i64, E> {
    exact_integer(number).ok_or_else(|| E::invalid_value(de::Unexpected::Float(number), &"an integer"))
}

/// The integer that a number with a point is, if it is one.
fn exact_integer(number: f64) -> Option<i64> {
    /// Up to here each whole number is a float of its own.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole and in range")]
    (number.fract() == 0.0 && number.abs() <= EXACT_MAX).then_some(number as i64)
}
