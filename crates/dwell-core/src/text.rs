//! Types that are written as text: in configuration, in requests and in records.

/// Reads and writes a type with `#[serde(try_from = "String", into = "String")]` by its `FromStr`
/// and its `Display`.
macro_rules! as_text {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = <Self as std::str::FromStr>::Err;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    };
}

pub(crate) use as_text;
