use super::load::Measured;
use std::fmt::Write;

/// One scenario's outcome.
pub struct Report {
    pub title: String,
    /// What was sent, and what is compared.
    pub about: String,
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
    pub claims: Vec<Claim>,
}

/// A figure that the project promises.
pub struct Claim {
    pub what: String,
    pub most: f64,
    pub measured: f64,
    pub unit: &'static str,
}

impl Claim {
    pub fn holds(&self) -> bool {
        self.measured <= self.most
    }
}

/// All windows of one contestant, in the order of the rounds.
pub struct Series {
    pub label: String,
    pub rounds: Vec<Measured>,
    /// In KiB.
    pub peak: u64,
}

impl Series {
    /// The median over the rounds.
    pub fn median(&self, of: fn(&Measured) -> f64) -> f64 {
        median(self.rounds.iter().map(of).collect())
    }

    /// The median of the ratios within each round: what disturbs a round disturbs both.
    pub fn ratio(&self, to: &Series, of: fn(&Measured) -> f64) -> f64 {
        median(self.rounds.iter().zip(&to.rounds).map(|(ours, theirs)| of(ours) / of(theirs)).collect())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle.wrapping_sub(1)), values.get(middle)) {
        (Some(lower), Some(upper)) if values.len().is_multiple_of(2) => f64::midpoint(*lower, *upper),
        (_, Some(only)) => *only,
        _ => f64::NAN,
    }
}

impl Report {
    /// A table of series, each beside some of them.
    pub fn of_series(title: &str, about: &str, series: &[Series], beside: &[&Series]) -> Report {
        let row = |name: String, cpu: String, beside: Vec<String>, rest: [String; 4]| -> Vec<String> {
            [name, cpu].into_iter().chain(beside).chain(rest).collect()
        };
        let to = beside.iter().map(|other| format!("to {}", other.label)).collect();
        let rest = ["requests/s", "p50 ms", "p99 ms", "peak MiB"].map(str::to_owned);
        let head = row(String::new(), "CPU µs/request".into(), to, rest);
        let rows = series.iter().map(|one| {
            let to = beside.iter().map(|other| format!("{:.2}", one.ratio(other, |m| m.cpu))).collect();
            let rest = [
                format!("{:.0}", one.median(|m| m.per_second)),
                format!("{:.2}", one.median(|m| m.p50)),
                format!("{:.2}", one.median(|m| m.p99)),
                mebibytes(one.peak),
            ];
            row(one.label.clone(), format!("{:.1}", one.median(|m| m.cpu)), to, rest)
        });
        let rows = rows.collect();
        Report { title: title.into(), about: about.into(), head, rows, claims: Vec::new() }
    }

    pub fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n{}\n\n| {} |\n", self.title, self.about, self.head.join(" | "));
        let _ = writeln!(text, "|{}", "---|".repeat(self.head.len()));
        for row in &self.rows {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
        if !self.claims.is_empty() {
            text.push('\n');
        }
        for claim in &self.claims {
            let verdict = if claim.holds() { "kept" } else { "**missed**" };
            let _ = writeln!(
                text,
                "- {}: at most {}{unit}, measured {:.2}{unit}: {verdict}",
                claim.what,
                claim.most,
                claim.measured,
                unit = claim.unit,
            );
        }
        text
    }
}

pub fn mebibytes(kibibytes: u64) -> String {
    format!("{}.{}", kibibytes / 1024, kibibytes % 1024 * 10 / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(vec![]).is_nan());
    }
}
