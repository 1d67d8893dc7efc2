//! What an attack has to say at its end.

/// What came of an attack.
pub struct Outcome {
    /// What was sent.
    pub sent: String,
    /// What the bridge did.
    pub seen: String,
    /// What it should not have done.
    pub broken: Vec<String>,
}
