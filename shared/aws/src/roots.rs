//! Which certificate authorities are trusted: the system's, as on every machine, or, in an image that has none (`FROM
//! scratch`, distroless, slim ones), the public ones that are built in.

use std::path::Path;

use aws_smithy_http_client::tls::TrustStore;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// Where Linux distributions keep them, in one file.
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Whether the system names any. `SSL_CERT_FILE` and `SSL_CERT_DIR` are the person's own choice.
pub fn of_the_system() -> bool {
    let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().any(|name| std::env::var_os(name).is_some());
    named || !cfg!(target_os = "linux") || BUNDLES.iter().any(|file| Path::new(file).is_file())
}

/// Those that are trusted.
pub fn trusted() -> TrustStore {
    if of_the_system() {
        return TrustStore::default();
    }
    TrustStore::empty().with_pem_certificate(built_in())
}

/// The public ones as PEM.
fn built_in() -> String {
    let mut pem = String::new();
    for certificate in TLS_SERVER_ROOT_CERTS {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        // Lines of 64 letters, as PEM has them.
        for line in certificate.chunks(48) {
            BASE64_STANDARD.encode_string(line, &mut pem);
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_certificates_are_whole() {
        let pem = built_in();
        let inner = |certificate: &str| {
            let text: String = certificate.lines().filter(|line| !line.starts_with('-')).collect();
            BASE64_STANDARD.decode(text).unwrap()
        };
        let ends = pem.split_inclusive("-----END CERTIFICATE-----\n");
        let read: Vec<Vec<u8>> = ends.map(inner).collect();
        let stored: Vec<Vec<u8>> = TLS_SERVER_ROOT_CERTS.iter().map(|one| one.to_vec()).collect();
        assert!(stored.len() > 100);
        assert_eq!(read, stored);
    }
}
