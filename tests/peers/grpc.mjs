// gRPC peers nobody here wrote: npm's @grpc/grpc-js, with plain bytes for messages.
//
//   node grpc.mjs serve '{"cert": PATH, "key": PATH}'                                   prints `ready URL`
//   node grpc.mjs call '{"url": URL, "ca": PATH, "method": "/echo.Echo/Unary", "messages": [TEXT], "metadata": {...}}'
//
// The server knows /echo.Echo/Unary (echoes), /echo.Echo/Chat (echoes a stream both ways) and /echo.Echo/Fail (status
// 9 with a trailer). `call` prints {"messages": [...], "status": N, "details": TEXT, "trailers": {...}}.
import { readFileSync } from 'node:fs';
import grpc from '@grpc/grpc-js';

const [role, text] = process.argv.slice(2);
const options = JSON.parse(text);
const bytes = (value) => value;
if (role === 'serve') serve();
else call();

function serve() {
  const server = new grpc.Server();
  const trailers = (name, value) => {
    const metadata = new grpc.Metadata();
    metadata.set(name, value);
    return metadata;
  };
  const unary = (request, answer) => {
    const sent = JSON.stringify(request.metadata.getMap());
    answer(null, request.request, trailers('x-received', Buffer.from(sent).toString('base64url')));
  };
  const chat = (stream) => {
    stream.on('data', (message) => stream.write(message));
    stream.on('end', () => stream.end(trailers('x-chat', 'over')));
  };
  const fail = (_request, answer) =>
    answer({ code: grpc.status.FAILED_PRECONDITION, details: 'as asked', metadata: trailers('x-reason', 'test') });
  server.register('/echo.Echo/Unary', unary, bytes, bytes, 'unary');
  server.register('/echo.Echo/Fail', fail, bytes, bytes, 'unary');
  server.register('/echo.Echo/Chat', chat, bytes, bytes, 'bidi');
  const pair = { private_key: readFileSync(options.key), cert_chain: readFileSync(options.cert) };
  const credentials = grpc.ServerCredentials.createSsl(null, [pair]);
  server.bindAsync('127.0.0.1:0', credentials, (error, port) => {
    if (error) throw error;
    console.log(`ready https://localhost:${port}`);
  });
}

function call() {
  const { host, pathname } = new URL(options.url);
  const client = new grpc.Client(host, grpc.credentials.createSsl(readFileSync(options.ca)));
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(options.metadata ?? {})) metadata.set(name, value);
  const method = pathname.replace(/\/$/, '') + options.method;
  const messages = options.messages.map((message) => Buffer.from(message));
  const received = [];
  const deadline = { deadline: Date.now() + 10000 };
  const tell = (status) => {
    const { code, details } = status;
    console.log(JSON.stringify({ messages: received, status: code, details, trailers: status.metadata.getMap() }));
    process.exit(0);
  };
  if (options.method.endsWith('/Chat')) {
    const stream = client.makeBidiStreamRequest(method, bytes, bytes, metadata, deadline);
    stream.on('data', (message) => received.push(message.toString()));
    stream.on('error', () => {});
    stream.on('status', tell);
    for (const message of messages) stream.write(message);
    stream.end();
  } else {
    const answered = (error, message) => {
      if (!error) received.push(message.toString());
    };
    client.makeUnaryRequest(method, bytes, bytes, messages[0], metadata, deadline, answered).on('status', tell);
  }
}
