// A JOSE implementation nobody here wrote: npm's jose verifies an access token against a published key set.
//
//   node jose.mjs call '{"token": JWT, "jwks": {"keys": [...]}, "issuer": URL, "audience": URL}'
//
// Prints {"header": {...}, "claims": {...}}, or {"error": CODE}.
import { createLocalJWKSet, jwtVerify } from 'jose';

const { token, jwks, issuer, audience } = JSON.parse(process.argv[3]);
try {
  const { protectedHeader, payload } = await jwtVerify(token, createLocalJWKSet(jwks), { issuer, audience, typ: 'at+jwt' });
  console.log(JSON.stringify({ header: protectedHeader, claims: payload }));
} catch (error) {
  console.log(JSON.stringify({ error: error.code ?? String(error) }));
}
