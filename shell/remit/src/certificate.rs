//! A certificate's end, read from its DER (RFC 5280 section 4.1).

use remit_model::time_ms;

/// The tags that are met on the way.
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When it is no longer valid, in seconds since the epoch.
pub(crate) fn not_after_secs(certificate: &[u8]) -> Option<u64> {
    let (whole, _) = element(certificate, Some(SEQUENCE))?;
    let (signed, _) = element(whole, Some(SEQUENCE))?;
    let rest = element(signed, Some(VERSION)).map_or(signed, |(_, rest)| rest);
    // Serial number, algorithm of the signature, issuer.
    let rest = (0..3).try_fold(rest, |rest, _| Some(element(rest, None)?.1))?;
    let (validity, _) = element(rest, Some(SEQUENCE))?;
    let (_, rest) = element(validity, None)?;
    let (time, _) = element(rest, None)?;
    let text = std::str::from_utf8(time).ok()?.strip_suffix('Z')?;
    let full = match rest.first() {
        // Years from 50 on are of the last century.
        Some(&UTC_TIME) => format!("{}{text}", if text.get(..2)?.parse::<u8>().ok()? >= 50 { "19" } else { "20" }),
        Some(&GENERALIZED_TIME) => text.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| full.get(from..to);
    let (date, time) = ([part(0, 4)?, part(4, 6)?, part(6, 8)?], [part(8, 10)?, part(10, 12)?, part(12, 14)?]);
    time_ms(&format!("{}T{}", date.join("-"), time.join(":"))).map(|ms| ms / 1000)
}

/// The contents of the first element, and what comes after it.
fn element(der: &[u8], wanted: Option<u8>) -> Option<(&[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk::<2>()?;
    if wanted.is_some_and(|wanted| wanted != tag) {
        return None;
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
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
