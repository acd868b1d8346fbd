//! `remit servers`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Because, Common};

#[derive(Debug, Args)]
pub(crate) struct ServersOf {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Option<Servers>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Servers {
    /// Show how every server stands: DRAFT, PENDING_APPROVAL, APPROVED, REJECTED or DEPRECATED, and by whose word.
    List(Common),
    /// Submit a DRAFT for approval: it is started and asked what it offers, and nobody can call it yet.
    Submit {
        /// Its account and name, such as 111122223333/helpdesk.
        server: String,
        #[command(flatten)]
        because: Because,
    },
    /// Approve what was submitted: its tools can be called from now on, as everything else allows.
    Approve {
        /// Its account and name.
        server: String,
        /// The digest of the registration that you looked at: another one isn't approved.
        #[arg(long, value_name = "DIGEST")]
        registration: Option<String>,
        #[command(flatten)]
        because: Because,
    },
    /// Refuse what was submitted.
    Reject {
        /// Its account and name.
        server: String,
        #[command(flatten)]
        because: Because,
    },
    /// Turn a `server.json` of the official MCP registry into a registration: a DRAFT, printed as YAML. Nothing is fetched or started.
    Import(ImportServer),
    /// Hold the file of a package against what was declared of it, and its provenance against who must have signed it. Nothing is fetched.
    ///
    /// Exit code 0 if everything that was asked for holds, 1 if anything of it doesn't or can't be verified, 3 if something can't be read.
    Verify(VerifyPackage),
    /// Say that a server shouldn't be used any more: it serves still, and whoever looks is told.
    Deprecate {
        /// Its account and name.
        server: String,
        #[command(flatten)]
        because: Because,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ImportServer {
    /// The file; - is standard input.
    pub(crate) file: PathBuf,
    /// The name to register it under; else the last part of its own.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Which of its packages, from 0, where there are several.
    #[arg(long, value_name = "N", conflicts_with = "remote")]
    pub(crate) package: Option<usize>,
    /// Which of its remotes, from 0.
    #[arg(long, value_name = "N")]
    pub(crate) remote: Option<usize>,
    /// What one of its inputs is; may be said several times.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// The package's file, to be held against the declared `fileSha256`.
    #[arg(long, value_name = "FILE")]
    pub(crate) package_file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyPackage {
    /// The package's file: a tarball of npm, a wheel, a bundle.
    pub(crate) file: PathBuf,
    /// Its SHA-256, as `fileSha256` and PyPI have it.
    #[arg(long, value_name = "HEX")]
    pub(crate) sha256: Option<String>,
    /// Its integrity, as npm's `dist.integrity` and lock files have it: sha512-….
    #[arg(long, value_name = "SRI")]
    pub(crate) integrity: Option<String>,
    /// Its attestations: a Sigstore bundle, npm's list of attestations, PyPI's attestation or provenance (PEP 740).
    #[arg(long, value_name = "FILE")]
    pub(crate) provenance: Option<PathBuf>,
    /// The repository that it must be built from, by the word of GitHub or GitLab: https://github.com/OWNER/REPOSITORY.
    #[arg(long, value_name = "URL", requires = "provenance")]
    pub(crate) source: Option<String>,
    /// Whose signature it must be, exactly: the certificate's subject alternative name, a workflow's URI or an address.
    #[arg(long, value_name = "SAN", requires = "provenance")]
    pub(crate) identity: Option<String>,
    /// Who must have vouched for the signer; needed with --identity, and with --source elsewhere than at GitHub and GitLab.
    #[arg(long, value_name = "URL", requires = "provenance")]
    pub(crate) issuer: Option<String>,
    /// The `server.json` that declares the package: its `repository` is the source, and its `fileSha256` the digest.
    #[arg(long, value_name = "FILE", conflicts_with = "source")]
    pub(crate) server_json: Option<PathBuf>,
    /// Whom to trust, a Sigstore `trusted_root.json`; else Sigstore's public-good instance, as it is built in.
    #[arg(long, value_name = "FILE", requires = "provenance")]
    pub(crate) trust_root: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InventoryOf {
    /// The configuration directory; the sample organization without one.
    pub(crate) directory: Option<PathBuf>,
    /// Take pins and standing from a gateway's data directory, and not from the directory's lock.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Print a line of JSON for each server instead of CycloneDX.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EgressOf {
    /// Look through a log for MCP servers that agents reached around Remit, tell them, and put each on record.
    ///
    /// VPC flow logs (version 2), Squid's access log, or JSON lines (`source`, `host` or `url`, `time`). Exit code 1 if any is found.
    Import(EgressImport),
}

#[derive(Debug, Args)]
pub(crate) struct EgressImport {
    /// The log.
    pub(crate) file: PathBuf,
    /// The configuration directory, for the servers that are registered.
    #[arg(long, value_name = "DIR")]
    pub(crate) config: PathBuf,
    /// An address that Remit itself comes from; may be said several times.
    #[arg(long, value_name = "IP", required = true)]
    pub(crate) own: Vec<std::net::IpAddr>,
    /// Record nothing: no gateway has to be up.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Who imports it, for the record.
    #[arg(long, env = "USER", default_value = "operator")]
    pub(crate) by: String,
    #[command(flatten)]
    pub(crate) common: Common,
}
