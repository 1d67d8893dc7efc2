//! Does a body fit its declared shape? (E1: JSON Schema 2020-12)

mod effort;
mod error;
mod instance;
mod names;
mod pointers;
mod recursion;
mod words;

pub use error::SchemaError;
pub use pointers::{DeadEnd, dead_end};

use crate::order;
use crate::pattern::{Pattern, PatternError};
use error::{DIALECT, MAX_DEPTH, MAX_VALUES};
use instance::{Body, Instance};
use ironbridge_core::json::JsonFault;
use ironbridge_core::{Control, Denial, Document, Exchange, FieldError, Reading, Reads, Row, Side, code};
use ironbridge_seal::hash;
use jsonschema::json::Node as _;
use jsonschema::{Draft, Keyword, PatternOptions, ValidationError, Validator};
use names::Names;
use serde_json::Value;
use std::sync::Arc;
use words::MAX_VIOLATIONS;

/// A compiled schema. Compile one per file and share it: two operations that name the same file should hold the
/// same one.
#[derive(Debug, Clone)]
pub struct JsonSchema(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    /// Of the document.
    digest: [u8; 32],
    validator: Validator<Body>,
    most_steps: u64,
    /// Steps for each byte of a member's name, where patterns judge names.
    name_cost: u64,
    names: Names,
    /// Whether telling what is wrong could take exponential time; see [`recursion`].
    branches_recursively: bool,
}

/// Bytes of compiled program per pattern; the engine's own default is ten times this.
const MAX_PATTERN_PROGRAM: usize = 1 << 20;

/// Largest body of which more than the first violation is told, in bytes: the library finds all before it tells
/// ten, and a large body can have a hundred thousand.
const MAX_EXPLAINED: usize = 16 << 10;

impl JsonSchema {
    /// Compiles a schema document.
    ///
    /// References stay inside the document: nothing is ever fetched. Patterns run on an engine whose time is
    /// linear in the text, so look-around and back-references are errors. `format` is asserted for the formats
    /// of the standard (Validation §7) and ignored for others.
    ///
    /// # Errors
    /// See [`SchemaError`].
    pub fn compile(schema: &Value) -> Result<JsonSchema, SchemaError> {
        if !is_modest(schema) {
            return Err(SchemaError::TooLarge);
        }
        if let Some(dialect) = schema.get("$schema").and_then(Value::as_str)
            && dialect.trim_end_matches('#') != DIALECT
        {
            return Err(SchemaError::Dialect(dialect.to_owned()));
        }
        let compiled = jsonschema::options_for::<Body>()
            .with_draft(Draft::Draft202012)
            .offline()
            .should_validate_formats(true)
            .with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN_PROGRAM))
            .with_keyword("pattern", |_, pattern, _| matched(pattern))
            .build(schema);
        let validator = compiled.map_err(|error| words::compilation(&error))?;
        if let Some(pointer) = recursion::endless(schema) {
            let reason = "the schema comes back to this for the same value, so nothing could be decided; a reference to what \
                          holds it belongs below `properties` or `items`";
            return Err(SchemaError::Invalid { pointer, reason: reason.to_owned() });
        }
        let branches_recursively = recursion::branches_recursively(schema);
        let names = Names::of(schema);
        let digest = hash::sha256_parts(&[schema.to_string().as_bytes()]);
        let name_cost = effort::of_names(schema);
        let most_steps = effort::MOST_STEPS;
        let compiled = Compiled { digest, validator, most_steps, name_cost, names, branches_recursively };
        Ok(JsonSchema(Arc::new(compiled)))
    }

    /// Tells it from every schema that says something else.
    pub fn digest(&self) -> [u8; 32] {
        self.0.digest
    }

    /// What of the document breaks the schema.
    fn judge(&self, document: &mut Document) -> Result<(), Unfit> {
        let size = document.bytes().len();
        let tape = document.json().map_err(Unfit::NotStrict)?;
        let value = Instance::Value(tape.root());
        let Compiled { validator, branches_recursively, most_steps, name_cost, .. } = &*self.0;
        effort::begin(*most_steps, *name_cost);
        // Errors cost far more than the answer, and nearly every document fits.
        let fits = validator.is_valid(value.clone());
        if effort::ran_out() {
            return Err(Unfit::Costly);
        }
        if let Some(pointer) = tape.inexact() {
            return Err(Unfit::Inexact(pointer));
        }
        if fits {
            return Ok(());
        }
        let mut violations = Vec::new();
        let mut keyword = String::new();
        let mut at = |error: &ValidationError<'_>| {
            if keyword.is_empty() {
                keyword = format!("schema #{}", error.schema_path().as_str());
            }
        };
        if *branches_recursively {
        } else if size > MAX_EXPLAINED {
            validator.validate(value).err().iter().for_each(|error| {
                at(error);
                words::violation(error, &mut violations);
            });
        } else {
            validator.iter_errors(value).for_each(|error| {
                at(&error);
                words::violation(&error, &mut violations);
            });
        }
        if *branches_recursively || effort::ran_out() {
            let rule = "does not fit the schema".to_owned();
            violations = vec![FieldError { pointer: String::new(), rule }];
        }
        violations.truncate(MAX_VIOLATIONS);
        Err(Unfit::Breaks(violations, keyword))
    }
}

/// A pattern in the words of ECMAScript, as the standard has them, on the bridge's own engine.
fn matched(pattern: &Value) -> Result<Box<dyn for<'i> Keyword<'i, Body>>, ValidationError<'_>> {
    let written = pattern.as_str().unwrap_or_default();
    let translated = jsonschema_regex::to_rust_regex(written).map_err(|()| PatternError::Invalid);
    match translated.and_then(|pattern| Pattern::of(&pattern)) {
        Ok(pattern) => Ok(Box::new(Matched { pattern, written: written.into() })),
        Err(PatternError::Invalid) => Err(ValidationError::schema(format!(
            "{pattern} is not a regular expression that can be searched for in linear time; there is no look-around \
             and no back-reference"
        ))),
        Err(PatternError::TooLarge) => Err(ValidationError::schema(format!(
            "{pattern} takes more than 1 MiB compiled: make its repetitions smaller"
        ))),
    }
}

struct Matched {
    pattern: Pattern,
    written: Box<str>,
}

impl<'i> Keyword<'i, Body> for Matched {
    fn validate(&self, instance: Instance<'i>) -> Result<(), ValidationError<'i>> {
        match self.is_valid(instance) {
            true => Ok(()),
            false => Err(ValidationError::custom(format!("must match {}", self.written))),
        }
    }

    fn is_valid(&self, instance: Instance<'i>) -> bool {
        instance.as_string().is_none_or(|text| effort::finds(&self.pattern, &text))
    }
}

/// Why a document does not fit.
enum Unfit {
    NotStrict(JsonFault),
    /// It would take too long to say.
    Costly,
    /// A number that the schema judges, by its place, has no exact reading.
    Inexact(String),
    /// With the keyword that the first of them breaks, by its place in the schema.
    Breaks(Vec<FieldError>, String),
}

/// Refuses bodies that break a schema: requests with `schema-violated`, replies with `reply-refused`.
///
/// A request without a body breaks every schema. A reply without one passes: there is nothing that could cross.
#[derive(Debug, Clone)]
pub struct Schema {
    side: Side,
    schema: JsonSchema,
}

impl Schema {
    /// For the bodies of requests.
    pub fn request(schema: JsonSchema) -> Schema {
        Schema { side: Side::Request, schema }
    }

    /// For the bodies of replies.
    pub fn reply(schema: JsonSchema) -> Schema {
        Schema { side: Side::Reply, schema }
    }

    fn judge_request(&self, exchange: &mut Exchange) -> Result<(), Denial> {
        let document = exchange.request.document().filter(|document| !document.bytes().is_empty());
        let Some(document) = document else {
            let missing = FieldError { pointer: String::new(), rule: "a body is required".to_owned() };
            return Err(Denial::new(&code::SCHEMA_VIOLATED).fields(vec![missing]));
        };
        let costly = || Denial::new(&code::BODY_TOO_COSTLY).by("schema");
        self.schema.judge(document).map_err(|unfit| match unfit {
            Unfit::NotStrict(fault) => crate::body::refusal(fault),
            Unfit::Costly => costly(),
            Unfit::Inexact(pointer) => crate::body::inexact(pointer),
            Unfit::Breaks(fields, keyword) => Denial::new(&code::SCHEMA_VIOLATED).fields(fields).by(keyword),
        })?;
        let body = document.json().map_err(crate::body::refusal)?;
        let mistakable = self.schema.0.names.mistakable(body.root());
        if effort::ran_out() {
            return Err(costly());
        }
        match mistakable {
            Some((member, meant)) => Err(crate::body::mistakable(member, meant, "which the schema judges")),
            None => Ok(()),
        }
    }

    fn judge_reply(&self, exchange: &mut Exchange) -> Result<(), Denial> {
        crate::body::check_reply_charset(exchange)?;
        // The caller learns that the target answered wrongly; what and where is the operator's.
        let refusal = Denial::new(&code::REPLY_REFUSED);
        // Replies that have no body by HTTP's rules (HEAD, 204, 304) are not judged.
        let document = exchange.reply.document().filter(|document| !document.bytes().is_empty());
        let Some(document) = document else {
            return Err(refusal.internal("no body where the schema wants one"));
        };
        self.schema.judge(document).map_err(|unfit| match unfit {
            Unfit::NotStrict(fault) => reply_refusal(fault),
            Unfit::Costly => {
                refusal.internal("the schema would take more than 20 million steps for the body")
            }
            Unfit::Inexact(pointer) => {
                refusal.internal(format_args!("the number at `{pointer}` is not exact"))
            }
            Unfit::Breaks(fields, keyword) => match fields.first() {
                Some(FieldError { pointer, rule }) => {
                    refusal.internal(format_args!("against the schema at `{pointer}`: {rule}")).by(keyword)
                }
                None => refusal.internal("against the schema"),
            },
        })
    }
}

impl Control for Schema {
    fn row(&self) -> &'static Row {
        match self.side {
            Side::Request => &order::REQUEST_SCHEMA,
            Side::Reply => &order::REPLY_SCHEMA,
        }
    }

    fn reads(&self) -> Reads {
        self.side.reads(Reading::Json)
    }

    fn inspect(&self, exchange: &mut Exchange) -> Result<(), Box<Denial>> {
        match self.side {
            Side::Request => self.judge_request(exchange),
            Side::Reply => self.judge_reply(exchange),
        }
        .map_err(Box::new)
    }
}

/// The refusal of a reply that is not strict JSON.
pub(crate) fn reply_refusal(fault: JsonFault) -> Denial {
    match fault {
        JsonFault::TooLong => Denial::new(&code::REPLY_TOO_LARGE),
        JsonFault::Unheld(full) => *full.denial(&code::REPLY_TOO_LARGE),
        fault => Denial::new(&code::REPLY_REFUSED)
            .internal(format_args!("the target's answer is not JSON: {fault}")),
    }
}

fn is_modest(schema: &Value) -> bool {
    let mut values = 0usize;
    let mut open = vec![(schema, 0usize)];
    while let Some((value, depth)) = open.pop() {
        values += 1;
        if values > MAX_VALUES || depth > MAX_DEPTH {
            return false;
        }
        match value {
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(members) => open.extend(members.values().map(|member| (member, depth + 1))),
            _ => {}
        }
    }
    true
}
