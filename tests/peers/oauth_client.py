"""An OAuth client nobody here wrote: Authlib gets a token by client credentials and calls a URL with it.

    oauth_client.py '{"token_url": URL, "client_id": ID, "client_secret": SECRET, "ca": PATH, "url": URL,
                      "scope": "orders.read", "resource": URL, "method": "GET", "json": {...}, "headers": {...}}'

Prints {"token": {...}, "status": 200, "headers": {...}, "body": ...} or {"error": CODE, "description": TEXT}.
`auth` may name another client authentication method than client_secret_basic.
"""

import json
import sys

from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session


def main(wish):
    session = OAuth2Session(
        wish["client_id"],
        wish["client_secret"],
        scope=wish.get("scope"),
        token_endpoint_auth_method=wish.get("auth", "client_secret_basic"),
    )
    session.verify = wish["ca"]
    session.trust_env = False
    extra = {"resource": wish["resource"]} if "resource" in wish else {}
    try:
        token = session.fetch_token(wish["token_url"], grant_type="client_credentials", timeout=10, **extra)
    except OAuthError as refused:
        return {"error": refused.error, "description": refused.description}
    told = {"token": token}
    if "url" in wish:
        reply = session.request(
            wish.get("method", "GET"),
            wish["url"],
            json=wish.get("json"),
            headers=wish.get("headers"),
            timeout=10,
        )
        told["status"] = reply.status_code
        told["headers"] = {name.lower(): value for name, value in reply.headers.items()}
        try:
            told["body"] = reply.json()
        except ValueError:
            told["body"] = reply.text
    return told


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
