//! The target's side: what was cleared goes there over a connection of its own. No credential is shown, and no policy of
//! addresses is asked, as the address stands in the manifest.

use crate::section::LineTarget;
use crate::wire::{Pieces, Reader, length, line, write_body, write_end, write_piece};
use bytes::Bytes;
use ironbridge_core::memory::Charge;
use ironbridge_core::uri::spelled;
use ironbridge_core::{
    Answered, BoxFuture, Cleared, Delivery, Denial, Inflow, LocalFuture, Reply, ReplyFacts, Said, Source,
    code,
};
use ironbridge_engine::plan::Planned;
use ironbridge_engine::transport::{Basis, BuildError, Egress};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Until the target's answer begins, and for every pause within it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Nothing is kept of targets.
pub struct Targets;

impl Egress for Targets {
    fn next<'a>(&'a self, _: Basis<'a>) -> BoxFuture<'a, Result<Arc<dyn Egress>, BuildError>> {
        Box::pin(std::future::ready(Ok(Arc::new(Targets) as Arc<dyn Egress>)))
    }

    fn deliveries(
        &self,
        from: Basis<'_>,
        planned: Planned<'_>,
        read: &[bool],
    ) -> Result<Vec<Arc<dyn Delivery>>, BuildError> {
        let system = &planned.declared.target;
        let target = from.manifest().systems.get(system).and_then(|system| system.targets.of::<LineTarget>());
        let Some(&LineTarget { address, .. }) = target else {
            return Err(BuildError::declared(format!("systems.{system}"), "it takes no lines"));
        };
        Ok(read.iter().map(|_| Arc::new(LineDelivery(address)) as Arc<dyn Delivery>).collect())
    }
}

struct LineDelivery(SocketAddr);

impl Delivery for LineDelivery {
    fn deliver<'a>(
        &'a self,
        mut cleared: Cleared<'a>,
        source: &'a mut dyn Source,
    ) -> LocalFuture<'a, Result<Box<dyn Reply>, Box<Denial>>> {
        Box::pin(async move {
            let Ok(Ok(stream)) = timeout(PATIENCE, TcpStream::connect(self.0)).await else {
                return Err((&code::TARGET_UNREACHABLE).into());
            };
            let (reader, mut writer) = stream.into_split();
            send(&mut writer, &mut cleared, source).await?;
            let mut reader = BufReader::new(reader);
            let answer = timeout(PATIENCE, line(&mut reader)).await.map_err(|_| &code::TARGET_TIMEOUT)?;
            let answer = answer.ok().flatten().ok_or(&code::TARGET_BROKE_OFF)?;
            Ok(Box::new(LineReply::read(&answer, reader)?) as Box<dyn Reply>)
        })
    }
}

async fn send(
    writer: &mut (impl AsyncWriteExt + Unpin),
    cleared: &mut Cleared<'_>,
    source: &mut dyn Source,
) -> Result<(), Box<Denial>> {
    let broken = |_| Box::from(&code::TARGET_BROKE_OFF);
    let exchange = cleared.exchange();
    let resource = spelled(&exchange.asked.resource);
    let resource = resource.map_err(|ambiguous| Denial::new(&code::PATH_AMBIGUOUS).by(ambiguous.why))?;
    let mut asked = format!("{} {resource}", exchange.asked.verb);
    if let Some(kind) = exchange.asked.media_type.as_deref().filter(|kind| !kind.contains([' ', '\n'])) {
        asked = asked + " type=" + kind;
    }
    let held = exchange.request.bytes().cloned();
    writer.write_all((asked + "\n").as_bytes()).await.map_err(broken)?;
    match (held, source.take_body()) {
        (Some(bytes), _) => {
            cleared.count_in(length(&bytes));
            write_piece(writer, &bytes).await.map_err(broken)?;
            write_end(writer).await.map_err(broken)
        }
        (None, Some(body)) => {
            let (mut passed, max) = (0_u64, cleared.max_request());
            let counted = |bytes| {
                passed = passed.saturating_add(bytes);
                cleared.count_in(bytes);
                if passed > max { Err((&code::BODY_TOO_LARGE).into()) } else { Ok(()) }
            };
            let written = write_body(writer, body, counted).await;
            written.map_err(|why| why.unwrap_or_else(|| (&code::TARGET_BROKE_OFF).into()))
        }
        (None, None) => write_end(writer).await.map_err(broken),
    }
}

struct LineReply {
    answered: Answered,
    media_type: Option<Box<str>>,
    body: Option<Pieces>,
}

impl LineReply {
    /// # Errors
    /// The target failed, or says something that is no answer.
    fn read(answer: &str, reader: Reader) -> Result<LineReply, Box<Denial>> {
        let mut words = answer.split(' ');
        let said = match words.next() {
            Some("OK") => Said::Done,
            Some("REFUSED") => Said::Declined,
            _ => return Err((&code::TARGET_FAILED).into()),
        };
        let media_type = words.find_map(|word| word.strip_prefix("type=")).map(Into::into);
        let body = (said == Said::Done).then(|| Pieces::of_target(reader, PATIENCE));
        Ok(LineReply { answered: Answered { mark: None, said }, media_type, body })
    }
}

impl Reply for LineReply {
    fn facts(&self) -> ReplyFacts {
        ReplyFacts { answered: self.answered, length: None, has_body: self.body.is_some() }
    }

    fn media_type(&self) -> Option<Box<str>> {
        self.media_type.clone()
    }

    fn read<'a>(
        &'a mut self,
        limit: u64,
        charge: &'a mut Charge,
    ) -> LocalFuture<'a, Result<Bytes, Box<Denial>>> {
        Box::pin(async move {
            match self.body.take() {
                Some(body) => body.whole(limit, charge, &code::REPLY_TOO_LARGE).await,
                None => Ok(Bytes::new()),
            }
        })
    }

    fn take_body(&mut self) -> Option<Box<dyn Inflow>> {
        Some(Box::new(self.body.take()?))
    }
}
