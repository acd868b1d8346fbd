//! A certificate's end (RFC 5280 section 4.1.2.5).

use x509_cert::Certificate;
use x509_cert::der::Decode as _;

/// When it is no longer valid, in seconds since the epoch.
pub(crate) fn not_after_secs(certificate: &[u8]) -> Option<u64> {
    let certificate = Certificate::from_der(certificate).ok()?;
    Some(certificate.tbs_certificate.validity.not_after.to_unix_duration().as_secs())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    /// A certificate of `openssl`'s that ends then, and when that is by `openssl`'s own word.
    fn made(end: &str) -> (Vec<u8>, String) {
        let dir = tempfile::TempDir::new().unwrap();
        let run = |args: &[&str]| {
            let done = std::process::Command::new("openssl").args(args).current_dir(dir.path()).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            String::from_utf8(done.stdout).unwrap()
        };
        run(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            "k",
            "-out",
            "r",
            "-subj",
            "/CN=it",
        ]);
        std::fs::write(dir.path().join("index"), "").unwrap();
        std::fs::write(dir.path().join("serial"), "01").unwrap();
        let settings = "[ca]\ndefault_ca=d\n[d]\nnew_certs_dir=.\ndatabase=index\nserial=serial\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n";
        std::fs::write(dir.path().join("c"), settings).unwrap();
        run(&[
            "ca",
            "-batch",
            "-config",
            "c",
            "-selfsign",
            "-keyfile",
            "k",
            "-in",
            "r",
            "-out",
            "s",
            "-startdate",
            "20200101000000Z",
            "-enddate",
            end,
        ]);
        let told = run(&["x509", "-in", "s", "-noout", "-enddate"]);
        (CertificateDer::from_pem_file(dir.path().join("s")).unwrap().to_vec(), told)
    }

    #[test]
    fn the_end_is_what_openssl_says() {
        // The first is written as UTCTime, the other as GeneralizedTime.
        for (end, told, secs) in [
            ("20271231235959Z", "Dec 31 23:59:59 2027 GMT", 1_830_297_599),
            ("20510203040506Z", "Feb  3 04:05:06 2051 GMT", 2_559_009_906),
        ] {
            let (der, said) = made(end);
            assert!(said.contains(told), "{said}");
            assert_eq!(not_after_secs(&der), Some(secs));
            for cut in 0..der.len().min(120) {
                let _ = not_after_secs(der.get(..cut).unwrap());
            }
        }
        assert_eq!(not_after_secs(b""), None);
        assert_eq!(not_after_secs(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
