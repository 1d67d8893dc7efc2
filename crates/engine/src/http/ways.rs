//! How each operation reaches its HTTP target: as its HTTP flow declares it, or in HTTP's own words for a flow of another
//! transport.

use super::paths;
use crate::plan::{OperationPlan, Planned};
use crate::transport::{Basis, BuildError};
use http::header::HeaderName;
use ironbridge_controls::rules::Rule;
use ironbridge_core::Delivery;
use ironbridge_http::location::WayBack;
use ironbridge_http::passes::{self, Passes};
use ironbridge_http::target::Target;
use ironbridge_http::{HttpDelivery, Way};
use ironbridge_manifest::{self as manifest, HttpFlow, HttpTarget, Manifest};
use std::sync::Arc;
use std::time::Duration;

/// For a flow of another transport: until the target's reply begins. As long as a flow over HTTP waits that declares
/// nothing else.
const TIMEOUT: Duration = Duration::from_secs(30);

/// One delivery for each operation of an integration, in the order of their names. `read` says of each whether a control
/// reads its replies.
pub fn deliveries(
    from: Basis<'_>,
    planned: Planned<'_>,
    read: &[bool],
    (declared, target): (&HttpTarget, &Arc<Target>),
) -> Result<Vec<Arc<dyn Delivery>>, BuildError> {
    let ways = match planned.declared.http() {
        Some(flow) => of_http(from, planned, read, flow, (declared, target))?,
        None => of_another(planned, read, (declared, target)),
    };
    Ok(ways.into_iter().map(|way| Arc::new(HttpDelivery::new(way)) as Arc<dyn Delivery>).collect())
}

fn of_http(
    from: Basis<'_>,
    Planned { name, declared, operations }: Planned<'_>,
    read: &[bool],
    flow: &HttpFlow,
    (at, target): (&HttpTarget, &Arc<Target>),
) -> Result<Vec<Way>, BuildError> {
    let each = || flow.operations.iter().zip(operations);
    let takes = each().map(|((_, operation), plan)| (operation, members(operation, plan)));
    let way_back = Arc::new(paths::way_back(flow, &at.url, takes));
    let way = |(((operation_name, operation), plan), &reply_is_read)| {
        let operation: &manifest::HttpOperation = operation;
        let rewrite = operation.target_path.as_ref().map(|to| {
            let written = paths::rewrite(to, &operation.route.path);
            let why = "a parameter of target_path is not in the matched path";
            written.ok_or_else(|| BuildError::declared(format!("integrations.{name}"), why))
        });
        let credential = target.credential.field();
        let (of, what) = ((name, declared), (operation_name, operation));
        let passes = passes(&from.plan.manifest, of, what, plan, reply_is_read, credential)?;
        Ok(Way {
            target: Arc::clone(target),
            rewrite: rewrite.transpose()?,
            way_back: Arc::clone(&way_back),
            passes: Arc::new(passes),
            timeout: operation.timeout.unwrap_or(flow.timeout),
            reply_is_read,
        })
    };
    each().zip(read).map(way).collect()
}

/// Nothing crosses but what its exchange says in the words that every transport has.
fn of_another(
    Planned { declared, .. }: Planned<'_>,
    read: &[bool],
    (at, target): (&HttpTarget, &Arc<Target>),
) -> Vec<Way> {
    let url = &at.url;
    let way_back = Arc::new(WayBack::new(url.secure, &url.host, url.port, &url.path, ""));
    let operations = declared.flow.operations().into_iter().zip(read);
    let ways = operations.map(|(operation, &reply_is_read)| {
        let passes = Passes::new(passes::Declared {
            reads_reply: reply_is_read,
            filters_reply: operation.response.keep.is_some(),
            filters_request: operation.request.keep.is_some(),
            credential: target.credential.field(),
            ..passes::Declared::default()
        });
        Way {
            target: Arc::clone(target),
            rewrite: None,
            way_back: Arc::clone(&way_back),
            passes: Arc::new(passes),
            timeout: TIMEOUT,
            reply_is_read,
        }
    });
    ways.collect()
}

/// The query members that cross for an operation.
fn members(operation: &manifest::HttpOperation, plan: &OperationPlan) -> passes::Members {
    match &operation.request.query {
        manifest::Crossing::All => passes::Members::all(plan.rules.iter().flat_map(Rule::query_names)),
        manifest::Crossing::Listed(members) => passes::Members::Listed(
            members.iter().map(|member| ((*member.name).into(), member.repeats)).collect(),
        ),
    }
}

/// Which fields and query members cross for an operation. `credential` is the field in which the target takes the bridge's.
pub fn passes(
    manifest: &Manifest,
    (name, integration): (&manifest::Name, &manifest::Integration),
    (operation_name, operation): (&manifest::Name, &manifest::HttpOperation),
    plan: &OperationPlan,
    reads_reply: bool,
    credential: Option<HeaderName>,
) -> Result<Passes, BuildError> {
    let place = &format!("integrations.{name}.http.operations.{operation_name}");
    let (request, response) = (&operation.request, &operation.response);
    Ok(Passes::new(passes::Declared {
        query: members(operation, plan),
        request: listed(place, &request.headers, |field| &field.0)?,
        request_trailers: listed(place, &request.trailers, |field| &field.0)?,
        reply: listed(place, &response.headers, |field| &field.0)?,
        reply_trailers: listed(place, &response.trailers, |field| &field.0)?,
        reads_reply,
        filters_reply: filters_reply(manifest, integration, operation),
        filters_request: request.body.keep.is_some(),
        credential,
    }))
}

/// Whether a keep list holds back parts of what the target answers, to this or to a GET of the same thing: HEAD tells of
/// what GET answers, and what changes a thing is answered with its entity tag.
fn filters_reply(
    manifest: &Manifest,
    integration: &manifest::Integration,
    operation: &manifest::HttpOperation,
) -> bool {
    if operation.response.body.keep.is_some() || &*operation.route.method == "GET" {
        return operation.response.body.keep.is_some();
    }
    let beside = manifest.integrations.values().filter(|other| other.target == integration.target);
    let reading = beside
        .filter_map(|other| Some(other.http()?.operations.values()))
        .flatten()
        .filter(|other| &*other.route.method == "GET" && may_be_one(at_target(other), at_target(operation)));
    let reading: Vec<_> = reading.collect();
    let is_same = |other: &manifest::HttpOperation| at_target(other).shape() == at_target(operation).shape();
    let same = reading.iter().any(|other| is_same(other));
    reading.iter().any(|other| other.response.body.keep.is_some() && (!same || is_same(other)))
}

/// The path at the target.
fn at_target(operation: &manifest::HttpOperation) -> &manifest::Template {
    operation.target_path.as_ref().unwrap_or(&operation.route.path)
}

/// Whether some path fits both.
fn may_be_one(one: &manifest::Template, other: &manifest::Template) -> bool {
    use manifest::Segment::Literal;
    let mut pairs = one.segments.iter().zip(&other.segments);
    one.segments.len() == other.segments.len()
        && pairs.all(|pair| !matches!(pair, (Literal(one), Literal(other)) if one != other))
}

fn listed<T>(
    place: &str,
    declared: &manifest::Crossing<T>,
    name: impl Fn(&T) -> &str,
) -> Result<passes::Listed, BuildError> {
    let names = declared.listed().iter().map(|field| HeaderName::try_from(name(field)));
    let names = names
        .collect::<Result<_, _>>()
        .map_err(|error| BuildError::Declared { place: place.to_owned(), reason: error.to_string() })?;
    Ok(passes::Listed { names, all: declared.is_all() })
}
