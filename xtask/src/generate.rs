use crate::root::root;
use anyhow::{Context, Result, bail};
use ironbridge_controls::ORDER;
use ironbridge_core::{Code, Kind, TransportFacts, action, all_codes, all_words, fields};
use ironbridge_engine::transports;
use ironbridge_manifest::{Finding, findings, topics};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Says where a page comes from, to whoever is about to edit it.
const NOTE: &str = "<!-- Written by `cargo xtask generate`; edit the code it comes from instead. -->\n\n";

/// One page per code lives here, and nothing else does.
const ERROR_PAGES: &str = "docs/reference/errors";

pub fn run(check: bool) -> Result<()> {
    let root = root();
    let pages = pages()?;
    let mut stale = Vec::new();
    for (path, text) in &pages {
        if fs::read_to_string(root.join(path)).ok().as_deref() != Some(text) {
            stale.push(path.clone());
        }
    }
    let orphans = orphans(&root, &pages)?;

    if check {
        if !stale.is_empty() || !orphans.is_empty() {
            for path in stale.iter().chain(&orphans) {
                eprintln!("out of date: {}", path.display());
            }
            bail!("run `cargo xtask generate` and commit what it writes");
        }
        println!("{} generated files are up to date", pages.len());
        return Ok(());
    }
    for path in &stale {
        let full = root.join(path);
        fs::create_dir_all(full.parent().context("a page has a folder")?)?;
        fs::write(&full, pages.get(path).context("a stale page is a page")?)?;
        println!("wrote {}", path.display());
    }
    for path in &orphans {
        fs::remove_file(root.join(path))?;
        println!("removed {}", path.display());
    }
    Ok(())
}

/// Every generated file, by its path from the root.
fn pages() -> Result<BTreeMap<PathBuf, String>> {
    let mut pages = BTreeMap::new();
    pages.insert(
        "docs/reference/manifest.md".into(),
        format!("{NOTE}{}", ironbridge_manifest::reference_markdown()),
    );
    let schema = serde_json::to_string_pretty(&ironbridge_manifest::json_schema())?;
    pages.insert("docs/reference/manifest.schema.json".into(), schema + "\n");
    pages.insert("docs/reference/controls.md".into(), control_order());
    pages.insert(
        "docs/reference/rules.md".into(),
        format!("{NOTE}# Rules\n\n{}", ironbridge_controls::rules::manual()),
    );
    pages.insert("docs/reference/fields.md".into(), fields_page());
    pages.insert("docs/reference/findings.md".into(), finding_index());
    pages.insert("docs/reference/records.md".into(), record_words());
    pages.insert("docs/reference/topics.md".into(), topics_page());
    pages.insert("docs/reference/errors.md".into(), error_index());
    pages.insert("docs/reference/kinds.md".into(), kinds_page());
    for code in all_codes() {
        pages.insert(Path::new(ERROR_PAGES).join(format!("{}.md", code.id)), error_page(code));
    }
    Ok(pages)
}

/// Pages of codes that no longer exist.
fn orphans(root: &Path, pages: &BTreeMap<PathBuf, String>) -> Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(root.join(ERROR_PAGES)) else { return Ok(Vec::new()) };
    let mut orphans = Vec::new();
    for entry in entries {
        let path = Path::new(ERROR_PAGES).join(entry?.file_name());
        if !pages.contains_key(&path) {
            orphans.push(path);
        }
    }
    orphans.sort();
    Ok(orphans)
}

fn error_index() -> String {
    let mut page = format!(
        "{NOTE}# Refusals\n\n\
         Every refusal carries one of these codes: as `code` in the problem details (RFC 9457), in the audit trail, \
         and as `ironbridge explain CODE`. A code never changes its meaning.\n\n\
         | code | kind{heads} | at fault | again? | |\n|---|---{lines}|---|---|---|\n",
        heads =
            transports().into_iter().map(|transport| format!(" | {}", transport.marks)).collect::<String>(),
        lines = "|---".repeat(transports().len()),
    );
    for code in all_codes() {
        let _ = writeln!(
            page,
            "| [`{id}`](errors/{id}.md) | {kind}{marks} | {fault} | {again} | {title} |",
            id = code.id,
            kind = code.kind.name(),
            marks = transports()
                .into_iter()
                .map(|transport| format!(" | {}", mark(transport, code)))
                .collect::<String>(),
            fault = code.fault.name(),
            again = if code.retry { "later" } else { "no" },
            title = code.title,
        );
    }
    page
}

fn error_page(code: &'static Code) -> String {
    let again = if code.retry {
        "Sending the same again later may succeed."
    } else {
        "Sending the same again will be refused again."
    };
    let operator = if code.operator.is_empty() {
        String::new()
    } else {
        format!("## What the operator can do\n\n{}\n\n", code.operator)
    };
    format!(
        "{NOTE}# {title}\n\n`{id}`, kind: [{kind}](../kinds.md){marks}, at fault: {fault}. {again} {reach}\n\n\
         ## Why\n\n{meaning}\n\n## What to do\n\n{mend}\n\n{operator}[All refusals](../errors.md)\n",
        title = code.title,
        id = code.id,
        kind = code.kind.name(),
        marks = transports()
            .into_iter()
            .map(|transport| format!(", {} {}", transport.marks, mark(transport, code)))
            .collect::<String>(),
        fault = code.fault.name(),
        reach = code.reach.said(),
        meaning = code.meaning,
        mend = code.mend,
    )
}

/// How every transport tells every kind: the number that most codes of the kind have, and the codes that have another.
fn kinds_page() -> String {
    let mut page = format!(
        "{NOTE}# Kinds of refusal\n\n\
         Every [refusal](errors.md) is of one kind, and every transport tells a kind in its own words. A caller that knows \
         no code can go by the kind alone.\n\n\
         | kind | what it means, and what a caller does |{heads}\n|---|---|{lines}\n",
        heads =
            transports().into_iter().map(|transport| format!(" {} |", transport.marks)).collect::<String>(),
        lines = "---|".repeat(transports().len()),
    );
    for kind in Kind::ALL {
        let marks: String =
            transports().into_iter().map(|transport| format!(" {} |", marks_of(transport, kind))).collect();
        let _ = writeln!(page, "| {} | {} |{marks}", kind.name(), kind.said());
    }
    page
}

/// `400`, and what is told by another number: `408 ([`request-timeout`](…))`.
fn marks_of(transport: &TransportFacts, kind: Kind) -> String {
    let usual = (transport.mark_of_kind)(kind);
    let mut others: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for code in all_codes().iter().filter(|code| code.kind == kind && (transport.mark)(code) != usual) {
        others.entry(mark(transport, code)).or_default().push(format!("[`{0}`](errors/{0}.md)", code.id));
    }
    let others = others.into_iter().map(|(mark, codes)| format!("{mark} ({})", codes.join(", ")));
    std::iter::once(said(usual)).chain(others).collect::<Vec<_>>().join("; ")
}

fn mark(transport: &TransportFacts, code: &'static Code) -> String {
    said((transport.mark)(code))
}

fn said(mark: Option<u16>) -> String {
    mark.map_or_else(|| "none".to_owned(), |mark| mark.to_string())
}

fn record_words() -> String {
    let mut page = format!(
        "{NOTE}# The words of records\n\n\
         What a record of the audit trail can hold as `outcome`, `code` and `direction`, besides the \
         [codes of refusals](errors.md), and what actions are called. `ironbridge explain WORD` prints the same. The \
         form of a record stands in [audit-format.md](../audit-format.md).\n\n\
         | word | stands in | means | what to do |\n|---|---|---|---|\n"
    );
    for word in all_words() {
        let (id, member, mend) = (word.id, word.member, if word.mend == "Nothing." { "" } else { word.mend });
        let _ = writeln!(page, "| `{id}` | {member} | {}. {} | {mend} |", word.title, word.meaning);
    }
    page.push_str("\n| action | means |\n|---|---|\n");
    for (name, meaning) in action::name::ALL {
        let _ = writeln!(page, "| `{name}` | {meaning} |");
    }
    page
}

fn topics_page() -> String {
    let mut page = format!(
        "{NOTE}# Topics\n\n\
         What several keys of a manifest do together. `ironbridge explain TOPIC` prints the same; the keys stand in \
         [manifest.md](manifest.md).\n"
    );
    for topic in topics() {
        let _ =
            write!(page, "\n## {}\n\n`{}`. {}\n", topic.title, topic.id, topic.text.replace('\n', "\n\n"));
        if topic.id == "fields" {
            page.push_str("\nThe tables are in [fields.md](fields.md).\n");
        }
        if !topic.example.is_empty() {
            let language = if topic.shows_manifest() { "yaml" } else { "sh" };
            let _ = write!(page, "\n```{language}\n{}\n```\n", topic.example);
        }
    }
    page
}

fn control_order() -> String {
    let mut page = format!(
        "{NOTE}# The order of the controls\n\n\
         The order is the same for every exchange and cannot be configured. The first control that refuses ends the \
         exchange; later ones are not asked.\n\n| | phase | control | |\n|---|---|---|---|\n"
    );
    for row in ORDER {
        let _ = writeln!(page, "| {} | {} | {} | {} |", row.id, row.phase.name(), row.name, row.what);
    }
    page
}

fn fields_page() -> String {
    let mut page = format!(
        "{NOTE}# Header fields, trailers and query members\n\n\
         Of what stands beside a body, only this crosses: the header fields that HTTP, gRPC and WebSocket need, and what \
         an operation declares in `headers`, `trailers` and `query` ([Request](manifest.md#httprequest), \
         [Response](manifest.md#httpresponse)). Other fields are left out: the log names each once for an operation, with the id of the exchange, and with \
         `RUST_LOG=debug` all of every exchange. A query \
         member that is not declared is refused with [`query-undeclared`](errors/query-undeclared.md), because a \
         question without it would be another one.\n\n\
         ## What crosses without being declared\n\n| | fields | in requests | in replies |\n|---|---|---|---|\n"
    );
    for group in fields::CROSSING {
        let names = listed(group.names);
        let (request, reply) = (group.request.words(), group.reply.words());
        let _ = writeln!(page, "| {} | {names} | {request} | {reply} |", group.what);
    }
    let _ = write!(
        page,
        "\n`Location` crosses where it leads to a declared operation, as its path at the bridge, with a query that this operation declares. Of `Link` (RFC 8288) cross \
         the links that do, at most 32, with their parameters `rel`, `title`, `type`, `hreflang` and `media`; a link of \
         another context (`anchor`) or with a relation that is a URI does not. `Retry-After` crosses where it is a \
         number of seconds or a date; a number beyond 2147483647, \
         which not every reader holds, as that one. `Accept-Encoding` crosses only to targets that get no credential of \
         the bridge's, because a compressed reply cannot be searched for it; it may be declared. `Content-Length`, \
         `Transfer-Encoding`, `TE: trailers` and `Trailer` are written anew for each side. The body of a redirection \
         (3xx) does not cross, and of a client error (4xx) the status and `Retry-After` alone.\n\n\
         After the body of a reply, {} cross; other trailers, in both directions, only where they are declared. No \
         trailer may be a field of these tables otherwise (RFC 9110 §6.5.1): a request with such a one is refused with \
         `header-refused`, and of a reply it is left out. A pseudo-field in a target's trailers (RFC 9113 §8.1), or a \
         request's beside `:status`, is left out too; what else stands there crosses as declared.\n\n\
         Where a keep list filters a body, what tells of the whole body does not cross: {}. That holds for every \
         method where GET of the same path at the target is filtered: for HEAD, and for what changes a thing and is \
         answered with its entity tag.\n\n\
         ## What the bridge writes itself\n\nToward a target: `via` with its own entry, `x-forwarded-proto: https`, the field \
         with its credential there, and, unless the system says `caller_address: false` \
         ([HttpTarget](manifest.md#httptarget)), the caller's address in `forwarded` and `x-forwarded-for`: that of the \
         connection, or what a trusted proxy says of it. Toward a caller: `via`, `x-correlation-id`, `ratelimit`, \
         `ratelimit-policy` and `idempotency-replayed`.\n\n\
         ## Limits\n\n| | fields | bytes | else |\n|---|---|---|---|\n\
         | header section of a request, its first line included | 100 | 16 KiB | [`header-too-large`](errors/header-too-large.md) |\n\
         | header section of a reply over HTTP/1.1, likewise | 100 | 64 KiB | [`reply-malformed`](errors/reply-malformed.md) |\n\
         | header section of a reply over HTTP/2 | 100 | 32 KiB, 32 bytes for every field among them (RFC 9113 §6.5.2) \
         | [`reply-malformed`](errors/reply-malformed.md) |\n\nOne field may have as many bytes as the section has left. \
         For replies, all counts that the target sends, not only what crosses.\n\n\
         ## What no declaration lets across\n\nA `*` stands for any ending, and all punctuation counts as a hyphen. The field \
         in which a target takes the bridge's credential belongs here too.\n\n| a field that | fields |\n|---|---|\n",
        listed(&fields::TRAILERS),
        listed(fields::OF_THE_WHOLE_BODY),
    );
    for owned in fields::OWNED {
        let _ = writeln!(page, "| {} | {} |", owned.why, listed(owned.names));
    }
    let _ = write!(
        page,
        "\n## What `all` does not stand for\n\nWhere an operation says `all` instead of listing names, further fields stay \
         at the bridge: those whose names hold one of these words, between punctuation or behind an `x`; a `*` stands for \
         any letters, so that a word with one on both sides counts wherever it stands. Targets and what \
         stands before them believe such fields, because a proxy is supposed to have written them. Listed by its name, one \
         crosses: that is the operator's word that the target does not take it for the bridge's.\n\n\
         | a field that | words in its name | in |\n|---|---|---|\n"
    );
    for group in fields::LEFT_OUT {
        let sides = if group.reply { "requests and replies" } else { "requests" };
        let _ = writeln!(page, "| {} | {} | {sides} |", group.why, listed(group.words));
    }
    let _ = write!(page, "\nThese cross all the same: {}.\n", listed(fields::AS_USUAL));
    page
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn finding_index() -> String {
    let mut page = format!(
        "{NOTE}# Findings\n\n\
         What `ironbridge check` reports. `IB1xx`: the manifest does not load, or, from IB130 on, what it names or \
         belongs to is not as it must be. `IB2xx`: it loads, but the checklist has something to say. `ironbridge explain ID` prints the same page.\n\n| | | |\n|---|---|---|\n"
    );
    for finding in findings() {
        let (id, severity) = (finding.id, finding.severity.name());
        let _ = writeln!(page, "| [{id}](#{}) | {severity} | {} |", anchor(finding), finding.title);
    }
    for finding in findings() {
        let _ =
            write!(page, "\n## {}: {}\n\n{}\n\n{}\n", finding.id, finding.title, finding.why, finding.mend);
        if !finding.example.is_empty() {
            let _ = write!(page, "\n```yaml\n{}\n```\n", finding.example.trim_end());
        }
    }
    page
}

/// As Markdown renderers derive it from the heading.
fn anchor(finding: &Finding) -> String {
    let heading = format!("{} {}", finding.id, finding.title).to_ascii_lowercase();
    heading
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || [' ', '-', '_'].contains(c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}
