use ironbridge_core::{Accepted, Spool, Source, Tail};

async fn lay_down(tail: Box<Tail>, source: &mut dyn Source, spool: &dyn Spool) {
    Accepted(tail).lay_down(source, spool).await;
}

fn main() {}
