//! What an integration says whatever transport carries it. It must not know any transport.

use super::Flow;
use crate::{Duration, FilePath, Name, OneOrMore, PermissionName, Pointer, Rate, Size, SubjectPlace};
use crate::{section, words};

section! {
    /// One declared data flow from a source system to a target system. What is not declared does not cross.
    pub struct Integration later("webhook", "sftp", "as2", "kafka", "rabbitmq", "nats", "database", "transfer") {
        /// What it does, for people.
        description: Option<String>,
        /// The system that calls.
        source: Name,
        /// The system that answers. It needs `http`.
        target: Name,
        /// What the data is used for (GDPR Art. 5(1)(b)).
        purpose: String,
        /// What makes it lawful (GDPR Art. 6(1)).
        legal_basis: LegalBasis,
        /// Which personal data crosses. Absent: none.
        data: Option<PersonalData>,
        /// When a record must be on disk. Default: `durable` when `data` is given, else `grouped`.
        audit: Option<AuditMode>,
        /// Limits for the whole integration.
        limits: Limits,
    }
    and flow: Flow
}

words! {
    /// What makes the processing lawful (GDPR Art. 6(1)).
    pub enum LegalBasis {
        /// Art. 6(1)(a).
        Consent = "consent",
        /// Art. 6(1)(b).
        Contract = "contract",
        /// Art. 6(1)(c).
        LegalObligation = "legal_obligation",
        /// Art. 6(1)(d).
        VitalInterests = "vital_interests",
        /// Art. 6(1)(e).
        PublicTask = "public_task",
        /// Art. 6(1)(f).
        LegitimateInterests = "legitimate_interests",
    }
}

section! {
    /// Which personal data crosses.
    pub struct PersonalData later("special_categories", "safeguards", "recipients") {
        /// Whose data: `customers`, `employees`.
        subjects: Vec<String>,
        /// Which kinds: `contact details`, `orders`.
        categories: Vec<String>,
        /// How long the target keeps it.
        retention: Option<Duration>,
        /// Where the ids of these people are: JSON Pointers into requests and replies, where `*` stands for every
        /// member or element, or `{name}` for a parameter of the path. The audit trail then knows whose data
        /// crossed. With a pointer, every body of the integration must be JSON. An id is a text of at most 256 bytes or
        /// an integer of 64 bits (7 and "7" are one); ids are compared byte by byte, so other case, a leading zero or
        /// another way to write the same letter (`é` as one character or two) is another person. `null` and an empty
        /// text name nobody, and anything else there is refused. So is a
        /// request with a member that some systems read as one on the way (`ID` for `/customer/id`); in a reply, such
        /// a member is looked past.
        subject_id: Option<OneOrMore<SubjectPlace>>,
        /// As what a disclosure counts when one of these people asks for an accounting (45 CFR 164.528).
        disclosure: Disclosure = "accountable",
    }
}

words! {
    /// As what a disclosure counts for an accounting of disclosures (45 CFR 164.528(a)(1)). All but the first are
    /// left out of it.
    pub enum Disclosure {
        /// It is accounted for.
        Accountable = "accountable",
        /// For treatment.
        Treatment = "treatment",
        /// For payment.
        Payment = "payment",
        /// For health care operations.
        Operations = "operations",
        /// To the people themselves.
        Individual = "individual",
        /// As they authorised.
        Authorised = "authorised",
        /// As part of a limited data set.
        LimitedDataSet = "limited_data_set",
    }
}

words! {
    /// When a record must be on disk.
    pub enum AuditMode {
        /// Before the caller has its answer.
        Durable = "durable",
        /// Shortly after, together with others: a crash can lose the records of the last milliseconds, and where the disk
        /// hangs, those of the five seconds after which exchanges are refused.
        Grouped = "grouped",
    }
}

words! {
    /// A kind of credential.
    pub enum CredentialKind {
        /// An API key of this bridge.
        ApiKey = "api_key",
        /// A token of the built-in token endpoint.
        OauthClient = "oauth_client",
        /// A token of a declared issuer.
        Token = "token",
        /// A client certificate.
        Certificate = "certificate",
    }
}

section! {
    /// On which conditions an operation may be used, whatever carries it.
    pub struct Conditions later("mask", "tokenise", "encrypt", "retry", "cache") {
        /// The permission it requires: one of the account's roles holds it, and a token that has a scope (`scope`, `scp`)
        /// names it there too. It is the scope that callers ask an issuer for, the built-in one included.
        permission: PermissionName,
        /// Refuses or repeats what was already done.
        replay: Option<Replay>,
        /// Limits for this operation, besides the integration's.
        limits: Limits,
    }
}

section! {
    /// What a request must be like, and what of it crosses.
    pub struct Request later("mask", "tokenise", "encrypt") {
        /// Largest body; a WebSocket has none. Default: 1MiB when a control reads it (schema, rules that name `body`,
        /// keep list, records, pointers of `subject_id`, idempotency keys), else none; but no body at all for GET, HEAD
        /// and OPTIONS, nor for DELETE where nothing here speaks of one: what they carry means nothing
        /// (RFC 9110 §9.3), and some systems take it for the next request. `bridge.limits.memory` must be at least four times
        /// this where it is read.
        max_body: Option<Size>,
        /// JSON Schema (2020-12) that the body must satisfy.
        schema: Option<FilePath>,
        /// What must be true of the request.
        rules: Vec<Rule>,
        /// The only members that cross, as JSON Pointers; `*` stands for every member or element. An empty list
        /// lets nothing cross. Default: all.
        keep: Option<Vec<Pointer>>,
        /// Where the records of data are, as JSON Pointers in which `*` stands for every member or element:
        /// `/items/*`. The audit trail then says how many crossed; the body is read for it and must be JSON. An array
        /// at the end of a pointer counts as its elements, and a pointer that leads nowhere leaves the number unknown.
        /// Default: where a body is read, what the first `*` of `keep` stands for, or else the elements of an array,
        /// or one object of plain values; anything else is unknown.
        records: Option<OneOrMore<Pointer>>,
    }
}

section! {
    /// What a reply must be like, and what of it crosses.
    pub struct Response later("mask", "tokenise", "encrypt") {
        /// Largest body; a WebSocket has none. Default: 1MiB when a control reads it (schema, keep list, records,
        /// pointers of `subject_id`, idempotency keys), else none. `bridge.limits.memory` must be at least four times this where it is read.
        max_body: Option<Size>,
        /// JSON Schema (2020-12) that the body must satisfy. An empty body satisfies none; where HTTP has no body (HEAD,
        /// 204, 205, 304, and redirections, whose body does not cross), nothing is judged.
        schema: Option<FilePath>,
        /// The only members that cross, as JSON Pointers; `*` stands for every member or element. An empty list
        /// lets nothing cross. Default: all.
        keep: Option<Vec<Pointer>>,
        /// Where the records of data are, as JSON Pointers in which `*` stands for every member or element:
        /// `/items/*`. The audit trail then says how many crossed; the body is read for it and must be JSON. An array
        /// at the end of a pointer counts as its elements, and a pointer that leads nowhere leaves the number unknown.
        /// Default: where a body is read, what the first `*` of `keep` stands for, or else the elements of an array,
        /// or one object of plain values; anything else is unknown.
        records: Option<OneOrMore<Pointer>>,
    }
}

section! {
    /// Something that must be true of a request.
    pub struct Rule {
        /// A CEL expression over `body`, `request`, `account`, `address` and `now`; true lets the request pass. At
        /// most 4 KiB. What these hold, and which types operators take, stands in [rules.md](rules.md); `check` knows the
        /// types of `body` from `schema`.
        check: String,
        /// What the caller is told when it is false.
        otherwise: String,
    }
}

section! {
    /// Refuses or repeats what was already done.
    pub struct Replay later("nonce", "timestamp") {
        /// Whether the Idempotency-Key field must be there. A repeated key gives the first answer again with the fields
        /// that crossed, if method, path, query, body and the header fields that `request.headers` lists are the same,
        /// or under `all` every field that crosses because of it. Where a reload came between, it crosses as far as
        /// `response` lets it now, and not at all where `response.schema` or `data.subject_id` says something else than
        /// before, or where a version of the bridge that did not remember the schema stored the answer: then
        /// `idempotency-unknown-outcome`. What names the attempt may differ: `X-Request-Id`, `User-Agent`, `Date` and
        /// the fields of tracing. An exchange with a key goes on to its end, within the operation's `timeout`, when
        /// its caller leaves: what the target answers is there for the caller that asks again.
        ///
        /// The key stays free where nothing reached the target, and where the target says that it did not take the
        /// request up: 401, 408, 421, 425, 426, 429, or 503 with Retry-After. After any other server error (a gateway's 502 or
        /// 504 among them), and when no answer came, it is taken and the outcome unknown.
        idempotency_key: IdempotencyKey,
        /// How long keys are remembered, 1s to 31d.
        window: Duration = "24h",
    }
}

words! {
    /// Whether the Idempotency-Key field must be there.
    pub enum IdempotencyKey {
        /// Refused without.
        Required = "required",
        /// Honoured where it is.
        Optional = "optional",
    }
}

section! {
    /// How often. After a pause, so many may come at once; from then on they come back evenly over the window, so
    /// that the first window can see twice the number. An exchange counts at the integration's limits first, then
    /// at its operation's: what the operation's refuse has counted at the integration's.
    pub struct Limits {
        /// By one account.
        per_account: Option<Rate>,
        /// From one address (one /64 network for IPv6).
        per_address: Option<Rate>,
        /// By everyone together, for each operation. An integration's holds for each of its operations, beside what
        /// the operation says itself.
        per_operation: Option<Rate>,
    }
}

impl Request {
    /// Whether it says something of the body itself. Rules may look at a body or not; which, those know who compile them.
    pub fn reads_body(&self) -> bool {
        self.schema.is_some() || self.keep.is_some() || self.records.is_some()
    }
}

impl Response {
    /// Whether it says something of the body itself.
    pub fn reads_body(&self) -> bool {
        self.schema.is_some() || self.keep.is_some() || self.records.is_some()
    }
}

impl Integration {
    /// Whether a record must be on disk before the caller has its answer.
    pub fn is_durable(&self) -> bool {
        self.audit.map_or(self.data.is_some(), |mode| mode == AuditMode::Durable)
    }
}
