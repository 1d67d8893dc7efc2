//! What [`section!`](crate::section), [`words!`](crate::words) and [`one_of!`](crate::one_of) are written in, for
//! sections that another crate declares.

pub use crate::keys::{Part, Read, Section, only_key, word};
pub use crate::reader::{Keys, Reader};
pub use crate::schema::{Definitions, Key, Need, one_word, paragraph};
pub use crate::yaml::Node;
pub use serde_json::Value;
