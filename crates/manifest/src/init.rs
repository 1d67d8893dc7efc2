//! What `ironbridge init` writes: a directory that checks without a finding and runs.

/// The files of a new manifest directory, relative to it, for a bridge of this name (a [`crate::Name`]).
pub fn init_files(name: &str) -> Vec<(String, String)> {
    [
        ("ironbridge.yaml", include_str!("init/ironbridge.yaml")),
        ("parties.yaml", include_str!("init/parties.yaml")),
        ("integrations/orders.yaml", include_str!("init/orders.yaml")),
        ("schemas/shipment.json", include_str!("init/shipment.json")),
        (
            ".gitignore",
            "# State, keys and the audit trail: nothing of it belongs into a repository.\n/data/\n",
        ),
    ]
    .map(|(path, text)| (path.to_owned(), text.replace("@NAME@", name)))
    .into()
}
