use crate::cores::LocalExecutor;

/// HTTP/1 toward callers, to be used behind a [`crate::gate::Gate`]: no timer (the gate has them), vectored writes.
pub fn http1_server() -> hyper::server::conn::http1::Builder {
    todo!()
}

/// HTTP/2 toward callers, with bounds on floods (standards: rapid reset, CONTINUATION, PING).
pub fn http2_server() -> hyper::server::conn::http2::Builder<LocalExecutor> {
    todo!()
}
