//! How written quantities pass through serde, and what the schema says about them.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};

use super::{Flush, Frequency, QueueLimit, Written};
use crate::session::ports::PortRange;
use crate::time::Duration;
use crate::units::{Bitrate, ByteSize, Probability};

struct WrittenVisitor<T>(PhantomData<T>);

impl<T: Written> WrittenVisitor<T> {
    fn number<E: Error>(number: f64, unexpected: Unexpected<'_>) -> Result<T, E> {
        if let Some(value) = T::from_number(number) {
            return Ok(value);
        }
        let what = T::WHAT;
        Err(match T::USUAL_UNIT {
            // What no unit makes right gets no advice on the unit.
            Some(unit) if (0.0..1e15).contains(&number) => E::custom(format!(
                "a unit is missing\nexpected {what}\nfor {number}{space}{unit} write \"{number}{unit}\"",
                space = if unit.starts_with(' ') { "" } else { " " },
            )),
            Some(_) => E::custom(format!("{number} is not in range\nexpected {what}")),
            None if (1.0..=100.0).contains(&number) => E::custom(format!(
                "{number} is not in range\nexpected {what}\nfor {number} % write \"{number}%\""
            )),
            None if matches!(unexpected, Unexpected::Float(_) | Unexpected::Signed(_)) => {
                E::custom(format!("{number} is not in range\nexpected {what}"))
            }
            None => E::invalid_type(unexpected, &Self(PhantomData)),
        })
    }
}

impl<T: Written> Visitor<'_> for WrittenVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::parse(text).map_err(|help| E::custom(format!("`{text}` is not {}\n{help}", kind(T::WHAT))))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        Self::number(number as f64, Unexpected::Signed(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        Self::number(number as f64, Unexpected::Unsigned(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        Self::number(number, Unexpected::Float(number))
    }
}

/// The words before the example.
fn kind(what: &str) -> &str {
    what.split(" such as").next().unwrap_or(what)
}

macro_rules! written_as_string {
    ($($type:ty => $name:literal),+ $(,)?) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(WrittenVisitor(PhantomData))
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.written())
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                schema::<Self>()
            }
        }
    )+};
}

written_as_string! {
    Duration => "Duration",
    Bitrate => "Bitrate",
    ByteSize => "ByteSize",
    Frequency => "Frequency",
    Probability => "Probability",
    QueueLimit => "QueueLimit",
    Flush => "Flush",
    PortRange => "PortRange",
}

fn schema<T: Written>() -> Schema {
    let text = json_schema!({ "type": "string", "pattern": T::PATTERN });
    let what = T::WHAT;
    let mut capital = what.chars();
    let description: String =
        capital.next().into_iter().flat_map(char::to_uppercase).chain(capital).collect();
    if T::from_number(0.5).is_some() {
        let number = json_schema!({ "type": "number", "minimum": 0, "maximum": 1 });
        return json_schema!({ "description": description, "anyOf": [text, number] });
    }
    json_schema!({ "description": description, "type": "string", "pattern": T::PATTERN })
}
