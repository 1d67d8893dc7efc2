//! Scalar values of the manifest: each is parsed once, with its own message when it is wrong.

mod text;
mod unit;
mod web;

pub use text::{Date, Directory, FilePath, Name, PermissionName, Pointer, San, SecretRef, Thumbprint};
pub use unit::{Duration, Number, OneOrMore, Rate, Size};
pub use web::{Country, FieldName, Path, Route, Segment, Template, Url};
