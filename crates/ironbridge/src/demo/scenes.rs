//! The scenes, in order.

mod access;
mod bodies;
mod change;
mod credentials;
mod proof;
mod tokens;
mod trail;
mod trouble;

use crate::demo::story::Scene;
use crate::demo::world::World;
use crate::failure::Failure;
use std::pin::Pin;
pub use trail::records;

/// A scene that can be played: its title, what is expected, and how it goes.
struct Script {
    title: &'static str,
    expectation: &'static str,
    play: for<'a> fn(&'a mut World, &'a mut Scene) -> Playing<'a>,
}

type Playing<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>>;

/// Plays them all. A scene that cannot go on has failed; the next is played nevertheless.
pub async fn play(
    world: &mut World,
    tell: impl Fn(usize, &Scene) -> Result<(), Failure>,
) -> Result<Vec<Scene>, Failure> {
    let mut played = Vec::with_capacity(SCRIPTS.len());
    for (Script { title, expectation, play }, number) in SCRIPTS.iter().zip(1..) {
        let mut scene = Scene::new(title, expectation);
        if let Err(failure) = play(world, &mut scene).await {
            scene.check(failure.text(false).trim_end(), false);
        }
        tell(number, &scene)?;
        played.push(scene);
    }
    Ok(played)
}

macro_rules! scripts {
    ($($title:literal, $expectation:literal, $play:path;)*) => {
        &[$(Script { title: $title, expectation: $expectation, play: |world, scene| Box::pin($play(world, scene)) }),*]
    };
}

static SCRIPTS: &[Script] = scripts! {
    "A token, and a read with fields held back", "200, three fields of ten", access::fields_held_back;
    "The ERP's credential is not the caller's", "each side sees its own", access::credentials_exchanged;
    "Nobody in particular", "401, with a page that explains", access::nobody;
    "A reader wants to write", "403", access::reader_writes;
    "What is not declared", "404, 405", access::undeclared;
    "A token of another issuer", "200; 403 beyond its scope", tokens::external;
    "Tokens past their time, or for somebody else", "401, 401", tokens::expired_or_misdirected;
    "Forged algorithms", "401, 401", tokens::forged;
    "A token changed on the way", "401", tokens::tampered;
    "An API key is replaced without a gap", "both work, then one", credentials::rotated;
    "An account known by its certificate", "200; 401 for a stranger's", credentials::certificate;
    "A body against the schema", "422, with pointers", bodies::against_schema;
    "A body against a business rule", "422, in the rule's words", bodies::against_rule;
    "The same name twice", "400", bodies::duplicate_name;
    "The same write, sent twice", "one shipment, one answer", bodies::replayed;
    "Too often", "429, and when to come back", trouble::limited;
    "The ERP stumbles", "502, no stack trace", trouble::stack_trace;
    "The ERP goes down, and comes back", "502, then 200", trouble::down;
    "A smuggled request", "400, connection closed", trouble::smuggled;
    "A new integration, under traffic", "no request lost", change::reloaded;
    "A broken manifest, under traffic", "refused, the old one stays", change::refused;
    "The audit trail, verified", "every exchange, signed", trail::verified;
    "The audit trail, tampered with", "found, at the record", trail::tampered;
    "Who changed what", "recorded like every exchange", proof::accounted;
    "One record, proven to somebody else", "checks offline", proof::proven;
    "A person is forgotten", "gone, and every proof stays", proof::erased;
};
