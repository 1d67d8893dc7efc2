// An authorization server nobody here wrote: npm's oidc-provider, served over TLS on a free loopback port.
//
//   node oidc.mjs serve '{"cert": PATH, "key": PATH, "resource": URL, "ttl": SECONDS, "algorithm": "ES256",
//                         "scopes": "orders.read orders.write", "clients": [{"client_id": ID, "client_secret": SECRET}],
//                         "clock": SECONDS}'
//
// Prints `ready ISSUER` once it answers. Access tokens are JWTs (RFC 9068) for the one resource (RFC 8707).
// `GET /-/requests` counts the requests by path; `POST /-/rotate` adds a new signing key and retires the old one.
// `clock` is how far its clock is ahead, or behind when negative.
import { createServer } from 'node:https';
import { readFileSync } from 'node:fs';
import { exportJWK, generateKeyPair } from 'jose';
import Provider from 'oidc-provider';

const options = { ttl: 300, algorithm: 'ES256', scopes: 'orders.read orders.write', ...JSON.parse(process.argv[3]) };
const counts = {};
const now = Date.now;
Date.now = () => now() + (options.clock ?? 0) * 1000;
let generation = 0;
let handle;

const server = createServer({ cert: readFileSync(options.cert), key: readFileSync(options.key) }, async (request, response) => {
  const path = request.url.split('?')[0];
  counts[path] = (counts[path] ?? 0) + 1;
  if (path === '/-/requests') {
    response.setHeader('content-type', 'application/json');
    return response.end(JSON.stringify(counts));
  }
  if (path === '/-/rotate' && request.method === 'POST') {
    handle = await provider();
    return response.end(`key-${generation}`);
  }
  return handle(request, response);
});

server.listen(0, '127.0.0.1', async () => {
  handle = await provider();
  console.log(`ready ${issuer()}`);
});

function issuer() {
  return `https://localhost:${server.address().port}`;
}

async function provider() {
  generation += 1;
  const { privateKey } = await generateKeyPair(options.algorithm, { extractable: true });
  const key = { ...(await exportJWK(privateKey)), kid: `key-${generation}`, alg: options.algorithm, use: 'sig' };
  const made = new Provider(issuer(), {
    jwks: { keys: [key] },
    clients: options.clients.map((client) => ({
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      token_endpoint_auth_method: 'client_secret_basic',
      id_token_signed_response_alg: options.algorithm,
      ...client,
    })),
    scopes: options.scopes.split(' '),
    ttl: { ClientCredentials: options.ttl },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => options.resource,
        useGrantedResource: () => true,
        getResourceServerInfo: (_context, resource) => ({
          scope: options.scopes,
          audience: resource,
          accessTokenTTL: options.ttl,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: options.algorithm } },
        }),
      },
    },
  });
  return made.callback();
}
