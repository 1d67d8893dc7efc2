//! What rules see, by name: the one list from which rules are checked and the manual is written.

use crate::shape::Shape;
use serde_json::{Map, Value, json};

/// A variable or one of its members.
pub struct Visible {
    pub name: &'static str,
    pub kind: &'static str,
    pub what: &'static str,
}

/// The variables with their members, as the manual tells of them.
pub const VISIBLE: [Visible; 9] = [
    Visible {
        name: "body",
        kind: "what `request.schema` says, else anything",
        what: "the JSON body, before `keep` holds anything of it back",
    },
    Visible { name: "request.method", kind: "text", what: "the method, such as `POST`" },
    Visible { name: "request.path", kind: "text", what: "the path below the integration's own, decoded" },
    Visible {
        name: "request.params",
        kind: "map of texts",
        what: "the parameters of `match`, decoded: `request.params.id` for `{id}`",
    },
    Visible {
        name: "request.query",
        kind: "map of texts and of lists of texts",
        what: "the members of the query that `request.query` declares, decoded. One that does not come is not there, so ask \
               with `has`. One declared with a `*` is a list, also where it comes once; under `all` each is a text, and a \
               rule that names one which comes twice cannot be decided",
    },
    Visible { name: "account.name", kind: "text", what: "the account that calls" },
    Visible {
        name: "account.system",
        kind: "text",
        what: "the system that it belongs to: the integration's source",
    },
    Visible {
        name: "address",
        kind: "text",
        what: "the caller's address, such as `192.0.2.7` or `2001:db8::7`",
    },
    Visible {
        name: "now",
        kind: "moment",
        what: "when the request arrived: `now.getHours()` is of UTC, `now.getHours(\"Europe/Berlin\")` of a place",
    },
];

/// What is known of an operation's requests before there is one.
#[derive(Debug, Clone)]
pub struct Known {
    /// A JSON Schema for each variable.
    variables: Map<String, Value>,
    /// Whether a schema says what a body is: then a type that a rule cannot take is no fault of the caller's.
    pub(super) is_assured: bool,
    /// Members of the query that are lists.
    pub(super) lists: Vec<Box<str>>,
}

/// What an operation declares, as far as rules can see it.
pub struct Declared<'d> {
    pub method: &'d str,
    pub parameters: Vec<&'d str>,
    /// Names, and whether they may repeat; `None` where all members cross.
    pub query: Option<Vec<(&'d str, bool)>>,
    /// The source, and its accounts.
    pub system: &'d str,
    pub accounts: Vec<&'d str>,
    /// The schema of its bodies.
    pub body: Option<&'d Value>,
}

impl Known {
    /// Of the path's parameters, the query and the body nothing is known.
    pub fn nothing() -> Known {
        Known::of(&text(), &texts(), &texts(), &json!({ "name": text(), "system": text() }), None)
    }

    pub fn operation(declared: &Declared<'_>) -> Known {
        let parameters = declared.parameters.iter().map(|name| ((*name).to_owned(), text()));
        let listed = declared.query.iter().flatten();
        let shape = |repeats| if repeats { json!({ "type": "array", "items": text() }) } else { text() };
        let members = listed.clone().map(|(name, repeats)| ((*name).to_owned(), shape(*repeats)));
        let query = if declared.query.is_some() { closed(members.collect()) } else { texts() };
        let account = json!({ "name": one_of(&declared.accounts), "system": one_of(&[declared.system]) });
        let params = closed(parameters.collect());
        let lists = listed.filter(|(_, repeats)| *repeats).map(|(name, _)| (*name).into());
        Known {
            lists: lists.collect(),
            ..Known::of(&one_of(&[declared.method]), &params, &query, &account, declared.body.cloned())
        }
    }

    fn of(method: &Value, params: &Value, query: &Value, account: &Value, body: Option<Value>) -> Known {
        let request = json!({ "method": method, "path": text(), "params": params, "query": query });
        let is_assured = body.is_some();
        let variables = [
            ("body", body.unwrap_or(Value::Bool(true))),
            ("request", json!({ "type": "object", "properties": request, "additionalProperties": false })),
            ("account", json!({ "type": "object", "properties": account, "additionalProperties": false })),
            ("address", text()),
            ("now", json!({ "type": "moment" })),
        ];
        let variables = variables.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
        Known { variables, is_assured, lists: Vec::new() }
    }

    pub(super) fn shape(&self, variable: &str) -> Option<Shape<'_>> {
        self.variables.get(variable).map(|schema| Shape::Fits { document: schema, schema })
    }
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn texts() -> Value {
    json!({ "type": "object", "additionalProperties": text() })
}

fn closed(members: Map<String, Value>) -> Value {
    json!({ "type": "object", "properties": members, "additionalProperties": false })
}

fn one_of(words: &[&str]) -> Value {
    if words.is_empty() { text() } else { json!({ "type": "string", "enum": words }) }
}
