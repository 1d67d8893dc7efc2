//! That systems can be reached, and that accounts can prove who they are and are not mistaken for others.

use super::Check;
use crate::findings::finding;
use crate::outline::Names;
use crate::place::{At, Spot};
use crate::range;
use crate::{Account, CertificateMatch, HTTP, HttpTarget, TargetAuth};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

impl Check<'_, '_> {
    pub fn parties(&mut self) {
        for (name, system) in &self.parts.systems {
            let Some(spot) = self.outline.spot(Names::Systems, name) else { continue };
            if let Some(http) = system.http() {
                self.target(http, spot.key(HTTP));
            }
        }
        let mut owners = HashMap::new();
        for (name, account) in &self.parts.accounts {
            let Some(spot) = self.outline.spot(Names::Accounts, name) else { continue };
            self.resolve(Names::Systems, "system", &account.system, spot.key("system").at_value());
            for (index, role) in account.roles.iter().enumerate() {
                self.resolve(Names::Roles, "role", role, spot.key("roles").item(index).at_value());
            }
            self.credentials(account, spot.key("credentials"));
            self.unshared(name, account, spot.key("credentials"), &mut owners);
        }
    }

    fn target(&mut self, http: &HttpTarget, spot: Spot<'_>) {
        if http.url.secure {
            if http.danger_plaintext.is_some() {
                let message = "`danger_plaintext` has no use: the URL is `https`";
                self.report(
                    &finding::CONTRADICTION,
                    spot.key("danger_plaintext").at_key(),
                    message,
                    "remove it",
                );
            }
        } else if http.danger_plaintext.is_none() {
            self.secure(&http.url, spot.key("url"));
        } else {
            self.danger(http.danger_plaintext.as_ref(), spot.key("danger_plaintext"));
            for key in ["ca", "certificate", "server_name"] {
                if spot.key(key).is_there() {
                    let message = format!("`{key}` has no use: the URL is `http`");
                    self.report(&finding::CONTRADICTION, spot.key(key).at_key(), message, "remove it");
                }
            }
        }
        self.within(spot.key("connect_timeout"), http.connect_timeout, &range::CONNECT);
        match &http.auth {
            Some(TargetAuth::Oauth2(oauth2)) => {
                self.secure(&oauth2.token_url, spot.key("auth").key("oauth2").key("token_url"));
            }
            Some(TargetAuth::Basic(basic))
                if basic.username.contains(|c: char| c == ':' || c.is_ascii_control()) =>
            {
                let at = spot.key("auth").key("basic").key("username").at_value();
                let message = "a user name with a colon or a control character cannot be sent (RFC 7617 §2)";
                self.report(&finding::MALFORMED, at, message, "neither may stand here");
            }
            _ => {}
        }
    }

    fn credentials(&mut self, account: &Account, spot: Spot<'_>) {
        let credentials = &account.credentials;
        if credentials.kinds().next().is_none() {
            let message = "this account has no credentials, so nobody could prove to be it";
            self.report(
                &finding::NO_AUTHENTICATION,
                spot.at_key(),
                message,
                "needs `credentials` with `api_key`, `oauth_client`, `token` or `certificate`",
            );
        }
        if let Some(key) = &credentials.api_key {
            self.within(spot.key("api_key").key("lifetime"), key.lifetime, &range::KEY_LIFETIME);
        }
        if let Some(client) = &credentials.oauth_client {
            self.within(
                spot.key("oauth_client").key("token_lifetime"),
                client.token_lifetime,
                &range::TOKEN_LIFETIME,
            );
            self.within(
                spot.key("oauth_client").key("secret_lifetime"),
                client.secret_lifetime,
                &range::SECRET_LIFETIME,
            );
            self.public_url(spot.key("oauth_client"));
        }
        if let (Some(token), Some(bridge)) = (&credentials.token, &self.parts.bridge)
            && !bridge.issuers.contains_key(&token.issuer)
        {
            let at = spot.key("token").key("issuer").at_value();
            self.unknown("issuer", &token.issuer, at, bridge.issuers.keys().map(|name| &**name));
        }
        if let Some(certificate) = &credentials.certificate {
            self.certificate(certificate, spot.key("certificate"));
        }
    }

    fn public_url(&mut self, spot: Spot<'_>) {
        let (Some(bridge), Some(bridge_spot)) = (&self.parts.bridge, self.outline.bridge()) else { return };
        if bridge.public_url.is_none() {
            self.reader
                .report(
                    &finding::PUBLIC_URL_MISSING,
                    spot.at_key(),
                    "`oauth_client` needs `public_url` in `bridge`",
                )
                .label("tokens name the bridge's public URL")
                .also(bridge_spot.at_key(), "needs `public_url`");
        }
    }

    fn certificate(&mut self, certificate: &CertificateMatch, spot: Spot<'_>) {
        if certificate.san.is_some() == certificate.thumbprint.is_some() {
            let message = "exactly one of `san` and `thumbprint` is needed here";
            self.report(&finding::NOT_EXACTLY_ONE, spot.at_key(), message, "one of the two");
        }
    }

    /// A certificate, and a client id at an issuer, belong to one account.
    fn unshared(
        &mut self,
        name: &str,
        account: &Account,
        spot: Spot<'_>,
        owners: &mut HashMap<String, (String, At)>,
    ) {
        let mut claims = Vec::new();
        if let Some(certificate) = &account.credentials.certificate {
            let ca = certificate.ca.as_deref();
            if let Some(san) = &certificate.san {
                claims.push((format!("{san:?} {ca:?}"), spot.key("certificate").key("san").at_value()));
            }
            if let Some(print) = &certificate.thumbprint {
                claims.push((format!("{print:?}"), spot.key("certificate").key("thumbprint").at_value()));
            }
        }
        if let Some(token) = &account.credentials.token {
            let at = spot.key("token").key("client_id").at_value();
            claims.push((format!("{} {:?}", token.issuer, token.client_id), at));
        }
        for (claim, at) in claims {
            match owners.entry(claim) {
                Entry::Vacant(free) => drop(free.insert((name.to_owned(), at))),
                Entry::Occupied(taken) => {
                    let (other, first) = taken.get();
                    let message = format!("the account `{other}` has this credential already");
                    self.reader
                        .report(&finding::CREDENTIAL_SHARED, at, message)
                        .label("the same again")
                        .also(*first, format!("of `{other}`"));
                }
            }
        }
    }
}
