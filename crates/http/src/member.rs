//! How a refusal names members of a query: to the caller as they were sent, in the record as far as it may.

/// One member of a query, by what it is called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member<'q> {
    /// Counted from 1.
    pub number: usize,
    pub name: &'q str,
    /// It has no value, so that its name may be one: `/search?somebody`.
    pub bare: bool,
}

/// How many members a refusal names.
pub(crate) const NAMED: usize = 8;

/// For the caller, who sent it. A name may be as long as a request target.
pub(crate) fn quoted(name: &str) -> String {
    format!("`{}`", name.chars().take(64).collect::<String>())
}

/// For the record, where nothing personal may stand, because nothing there can ever be erased: a name that is a word
/// of a program's as it is, anything else by its place.
pub(crate) fn recorded(members: &[Member<'_>]) -> String {
    let told = members.iter().take(NAMED).map(|member| match member.is_word() {
        true => format!("`{}`", member.name),
        false => member.number.to_string(),
    });
    let noun = if members.len() == 1 { "query member" } else { "query members" };
    let more = if members.len() > NAMED { " and others" } else { "" };
    format!("{noun} {}{more}", told.collect::<Vec<_>>().join(", "))
}

impl Member<'_> {
    fn is_word(self) -> bool {
        let word = |byte: u8| byte.is_ascii_alphabetic() || b"_-.$[]".contains(&byte);
        !self.bare && (1..=32).contains(&self.name.len()) && self.name.bytes().all(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_names_words_and_counts_what_may_be_somebodys() {
        let member = |number, name, bare| Member { number, name, bare };
        for (told, members) in [
            ("query member `limit`", &[member(1, "limit", false)][..]),
            (
                "query members `filter[name]`, 3",
                &[member(1, "filter[name]", false), member(3, "a@b.example", false)],
            ),
            ("query member 2", &[member(2, "mustermann", true)]),
            ("query member 1", &[member(1, "19700101-1234", false)]),
            ("query member 1", &[member(1, "a name of four words", false)]),
        ] {
            assert_eq!(recorded(members), told);
        }
        let many: Vec<_> = (1..20).map(|number| member(number, "7", false)).collect();
        assert_eq!(recorded(&many), "query members 1, 2, 3, 4, 5, 6, 7, 8 and others");
    }
}
