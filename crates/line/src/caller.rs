//! The caller's side: one connection, one exchange, from its line to its answer.

use crate::section::{NAME, PUT};
use crate::wire::{Pieces, length, line, write_body, write_end, write_piece};
use bytes::Bytes;
use ironbridge_core::memory::Charge;
use ironbridge_core::uri::CanonicalPath;
use ironbridge_core::{
    Answer, Asked, Claim, Clock, DeduplicationKey, Delivery, Denial, Entropy, Exchange, Flow, IdSource,
    Inflow, LocalFuture, OpenExchanges, Parting, Peer, Pipeline, Presented, Recorder, Reply, Sensitive,
    Source, code, cross,
};
use ironbridge_engine::passages::Passage;
use ironbridge_manifest::{Segment, Template};
use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What one listener takes, compiled from one load of the manifest.
pub struct Offer {
    pub passages: Vec<(Template, Passage)>,
    /// Judges what matches none of them.
    pub undeclared: (Arc<Flow>, Arc<Pipeline>),
    pub trail: Arc<dyn Recorder>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub exchanges: Arc<OpenExchanges>,
    /// For the line.
    pub line_timeout: Duration,
    /// For a pause within a body.
    pub body_timeout: Duration,
}

/// Takes one exchange from a connection and answers it. Whoever sends no line left nothing to record.
pub async fn serve(
    stream: TcpStream,
    address: IpAddr,
    offer: &Offer,
    ids: &RefCell<IdSource>,
    parting: Arc<Parting>,
) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let Ok(Ok(Some(text))) = timeout(offer.line_timeout, line(&mut reader)).await else { return };
    let now = offer.clock.now();
    let id = ids.borrow_mut().next(now, offer.entropy.as_ref());
    let peer = Peer { address: Some(address), certificate: None, parting };
    let exchange =
        |flow: &Arc<Flow>| Exchange::new(id, now, offer.clock.monotonic(), Arc::clone(flow), peer.clone());
    let (flow, pipeline) = &offer.undeclared;
    let open = offer.exchanges.open();
    let found = Line::read(&text).and_then(|line| Ok((offer.find(&line.asked.resource)?, line)));
    let answer = match (&open, found) {
        (Ok(_), Ok(((passage, parameters), line))) => {
            let mut exchange = exchange(&passage.flow);
            (exchange.presented, exchange.marks) = (line.presented, line.marks);
            exchange.asked = Asked { parameters, ..line.asked };
            let mut source = LineSource(Some(Pieces::of_caller(reader, offer.body_timeout)));
            let (pipeline, delivery) = (&passage.pipeline, &*passage.delivery);
            cross(pipeline, &offer.trail, &offer.clock, exchange, &mut source, delivery).await
        }
        (_, Err(denial)) => refuse(offer, exchange(flow), pipeline, denial).await,
        (Err(busy), _) => refuse(offer, exchange(flow), pipeline, Denial::new(busy.code)).await,
    };
    respond(&mut writer, answer).await;
    let _ = writer.shutdown().await;
}

impl Offer {
    fn find(&self, resource: &str) -> Result<(&Passage, Parameters), Denial> {
        let found = self
            .passages
            .iter()
            .find_map(|(template, passage)| Some((passage, parameters(template, resource)?)));
        found.ok_or_else(|| Denial::new(&code::OPERATION_UNKNOWN))
    }
}

type Parameters = Vec<(Arc<str>, Box<str>)>;

/// What a resource has for the parameters of a template; `None` where it is another one.
fn parameters(template: &Template, resource: &str) -> Option<Parameters> {
    let segments: Vec<&str> = resource.split('/').skip(1).collect();
    let mut found = Parameters::new();
    for (declared, segment) in template.segments.iter().zip(&segments) {
        match declared {
            Segment::Literal(text) if **text == **segment => {}
            Segment::Literal(_) => return None,
            Segment::Parameter(name) => found.push((Arc::clone(name), (*segment).into())),
        }
    }
    (template.segments.len() == segments.len()).then_some(found)
}

/// What a request's line says.
struct Line {
    presented: Presented,
    asked: Asked,
    marks: Vec<(Box<str>, Box<str>)>,
}

impl Line {
    /// # Errors
    /// It says something else than it may, or something twice.
    fn read(text: &str) -> Result<Line, Denial> {
        let unread = || Denial::new(&code::HEADER_REFUSED);
        let mut words = text.split(' ');
        let (Some(PUT), Some(resource)) = (words.next(), words.next()) else { return Err(unread()) };
        let resource = CanonicalPath::parse(resource).map_err(|ambiguous| {
            Denial::new(&code::PATH_AMBIGUOUS).detail(ambiguous.why).by(ambiguous.why)
        })?;
        let asked = Asked {
            verb: PUT.into(),
            resource: resource.decoded().into(),
            has_body: true,
            ..Asked::default()
        };
        let mut line = Line { presented: Presented::Nothing, asked, marks: Vec::new() };
        for word in words {
            let (name, value) = word.split_once('=').ok_or_else(unread)?;
            line.take(name, value).ok_or_else(unread)?;
        }
        Ok(line)
    }

    fn take(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "type" => self.asked.media_type.replace(value.into()).is_none().then_some(()),
            "key" => {
                let key = DeduplicationKey::new(value);
                self.asked.deduplication_key.replace(key).is_none().then_some(())
            }
            "id" => {
                self.marks.push(("id".into(), value.into()));
                (self.marks.len() == 1).then_some(())
            }
            "token" | "apikey" => {
                let secret = Sensitive::new(value.as_bytes());
                let claim = if name == "token" { Claim::Bearer(secret) } else { Claim::ApiKey(secret) };
                let (before, bearer) = (std::mem::take(&mut self.presented), name == "token");
                self.presented = match before {
                    Presented::Nothing => Presented::Claim(claim),
                    other => Presented::Ambiguous { bearer: bearer || other.holds_bearer() },
                };
                Some(())
            }
            _ => None,
        }
    }
}

/// Refuses what matches nothing declared, once it is counted.
async fn refuse(offer: &Offer, mut exchange: Exchange, pipeline: &Arc<Pipeline>, denial: Denial) -> Answer {
    exchange.refused = Some(Box::new(denial));
    let mut source = LineSource(None);
    cross(pipeline, &offer.trail, &offer.clock, exchange, &mut source, &Nowhere).await
}

struct Nowhere;

impl Delivery for Nowhere {
    fn deliver<'a>(
        &'a self,
        _: ironbridge_core::Cleared<'a>,
        _: &'a mut dyn Source,
    ) -> LocalFuture<'a, Result<Box<dyn Reply>, Box<Denial>>> {
        Box::pin(std::future::ready(Err((&code::OPERATION_UNKNOWN).into())))
    }
}

struct LineSource(Option<Pieces>);

impl Source for LineSource {
    fn read_request<'a>(
        &'a mut self,
        limit: u64,
        charge: &'a mut Charge,
    ) -> LocalFuture<'a, Result<Bytes, Box<Denial>>> {
        Box::pin(async move {
            match self.0.take() {
                Some(body) => body.whole(limit, charge, &code::BODY_TOO_LARGE).await,
                None => Ok(Bytes::new()),
            }
        })
    }

    fn take_body(&mut self) -> Option<Box<dyn Inflow>> {
        Some(Box::new(self.0.take()?))
    }
}

/// Whoever does not take the answer has its exchange recorded as given up, by the tail.
async fn respond(writer: &mut (impl AsyncWriteExt + Unpin), answer: Answer) {
    match answer {
        Answer::Denied { denial, .. } => refused(writer, &denial).await,
        Answer::Accepted { .. } => drop(writer.write_all(b"ACCEPTED\n").await),
        // In place of what a target declined with, the caller got a refusal, which is not stored.
        Answer::Replayed { answer, .. } if answer.answered.is_declined() => {
            refused(writer, &Denial::new(&code::TARGET_DECLINED)).await;
        }
        Answer::Replayed { answer, .. } => {
            let told = ok(writer, answer.content_type.as_deref()).await.is_ok();
            if told && write_piece(writer, &answer.body).await.is_ok() {
                drop(write_end(writer).await);
            }
        }
        Answer::Delivered { reply, tail, .. } if reply.facts().answered.is_declined() => {
            refused(writer, &Denial::new(&code::TARGET_DECLINED)).await;
            tail.finish();
        }
        Answer::Delivered { mut reply, body, mut tail } => {
            if ok(writer, reply.media_type().as_deref()).await.is_err() {
                return;
            }
            let written = match (body, reply.take_body()) {
                (Some(bytes), _) => {
                    tail.count_out(length(&bytes));
                    let written = write_piece(writer, &bytes).await;
                    written.map_err(|_| None).and(write_end(writer).await.map_err(|_| None))
                }
                (None, Some(body)) => {
                    let counted = |bytes| {
                        tail.count_out(bytes);
                        Ok(())
                    };
                    write_body(writer, body, counted).await
                }
                (None, None) => write_end(writer).await.map_err(|_| None),
            };
            match written {
                Ok(()) => tail.finish(),
                Err(Some(denial)) => tail.cut(denial.code),
                Err(None) => drop(tail),
            }
        }
    }
}

async fn refused(writer: &mut (impl AsyncWriteExt + Unpin), denial: &Denial) {
    tracing::debug!(transport = NAME, %denial, "refused");
    drop(writer.write_all(format!("REFUSED {}\n", denial.code.id).as_bytes()).await);
}

async fn ok(writer: &mut (impl AsyncWriteExt + Unpin), media_type: Option<&str>) -> std::io::Result<()> {
    let kind = media_type.filter(|kind| !kind.contains([' ', '\n'])).map(|kind| format!(" type={kind}"));
    writer.write_all(format!("OK{}\n", kind.unwrap_or_default()).as_bytes()).await
}
