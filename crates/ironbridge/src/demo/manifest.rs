//! The demo's manifest: the files in `manifest/`, with the ports filled in.

use crate::failure::Failure;
use std::fs;
use std::path::Path;

/// Where everybody listens, on the loopback address.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    pub bridge: u16,
    pub erp: u16,
    pub issuer: u16,
}

/// What the bridge starts with.
const FILES: [(&str, &str); 4] = [
    ("ironbridge.yaml", include_str!("manifest/ironbridge.yaml")),
    ("parties.yaml", include_str!("manifest/parties.yaml")),
    ("integrations/order-sync.yaml", include_str!("manifest/integrations/order-sync.yaml")),
    ("schemas/shipment.json", include_str!("manifest/schemas/shipment.json")),
];

/// The integration that a colleague adds while the bridge runs.
pub const STOCK_FILE: &str = "integrations/stock.yaml";
pub const STOCK: &str = include_str!("manifest/integrations/stock.yaml");

/// The certificate of the CA that vouches for the ERP and the issuer.
const PARTNERS_CA: &str = "ca/partners.pem";

/// Writes the manifest into a directory.
pub fn write(dir: &Path, ports: Ports, partners_ca: &str) -> Result<(), Failure> {
    for folder in ["integrations", "schemas", "ca"] {
        fs::create_dir_all(dir.join(folder))?;
    }
    for (name, text) in FILES {
        fs::write(dir.join(name), filled(text, ports))?;
    }
    fs::write(dir.join(PARTNERS_CA), partners_ca)?;
    Ok(())
}

fn filled(text: &str, ports: Ports) -> String {
    text.replace("@BRIDGE_PORT@", &ports.bridge.to_string())
        .replace("@ERP_PORT@", &ports.erp.to_string())
        .replace("@ISSUER_PORT@", &ports.issuer.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironbridge_manifest::{Date, load};

    #[test]
    fn it_loads_without_a_finding() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), Ports { bridge: 1, erp: 2, issuer: 3 }, "").unwrap();
        fs::write(dir.path().join(STOCK_FILE), STOCK).unwrap();
        let loaded = load(dir.path(), Date { days: 20_778 }).unwrap_or_else(|wrong| panic!("{wrong}"));
        assert!(loaded.findings.is_empty(), "{}", loaded.findings);
    }
}
