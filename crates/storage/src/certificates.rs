//! Which certificates of a PostgreSQL server are accepted.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::Error;
use crate::postgres_url::{Check, Roots};

/// The client's side of a handshake that checks as much as is asked for.
pub(crate) fn config(check: &Check) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(ring::default_provider());
    let authority = match check {
        Check::Nothing => None,
        Check::Authority(file) => Some(verifier(from_file(file)?, &provider)?),
        Check::Host(Roots::File(file)) => Some(verifier(from_file(file)?, &provider)?),
        Check::Host(Roots::System) => Some(verifier(of_system()?, &provider)?),
    };
    let verifier: Arc<dyn ServerCertVerifier> = match (check, authority) {
        (Check::Host(_), Some(verifier)) => verifier,
        (_, authority) => Arc::new(AnyHost {
            authority,
            provider: Arc::clone(&provider),
        }),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|fault| Error::Settings(format!("TLS to the database: {fault}")))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn verifier(
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, Error> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|fault| Error::Settings(format!("database_url: sslrootcert: {fault}")))
}

fn from_file(file: &Path) -> Result<RootCertStore, Error> {
    let fault = |what: &dyn std::fmt::Display| {
        Error::Settings(format!("database_url: sslrootcert={}: {what}", file.display()))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|why| fault(&why))? {
        let certificate = certificate.map_err(|why| fault(&why))?;
        roots.add(certificate).map_err(|why| fault(&why))?;
    }
    if roots.is_empty() {
        return Err(fault(&"there is no certificate in it"));
    }
    Ok(roots)
}

fn of_system() -> Result<RootCertStore, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(Error::Settings(
            "database_url: sslrootcert=system: this machine has no trusted certificates".into(),
        ));
    }
    Ok(roots)
}

/// Accepts a certificate whatever host it is for: of an authority, or of anybody when there is none. Either way the
/// server must hold the certificate's key.
#[derive(Debug)]
struct AnyHost {
    authority: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyHost {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(authority) = &self.authority else {
            return Ok(ServerCertVerified::assertion());
        };
        // The host is compared last, after the signatures and the dates.
        match authority.verify_server_cert(certificate, intermediates, host, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
