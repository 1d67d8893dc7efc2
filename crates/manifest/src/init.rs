//! What `ironbridge init` writes: a directory that checks cleanly and runs.
pub fn init_files(name: &str) -> Vec<(String, String)> {
    let _ = name;
    Vec::new()
}
