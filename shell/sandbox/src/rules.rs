//! Landlock: rules for files and TCP, and scopes for signals and abstract sockets.

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus, NetPort, PathBeneath, PathFd,
    Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};
use remit_model::{SandboxMechanism, SandboxNetwork};

use crate::grants::{Access, Grant};
use crate::report::Report;
use crate::spec::PROXY_PORT;

/// The newest version whose rights are known here.
const NEWEST: ABI = ABI::V9;

/// Restricts this process for good, as far as this kernel can, and reports how far that is.
pub(crate) fn restrict(grants: &[Grant], network: &SandboxNetwork, report: &mut Report) -> Result<(), String> {
    let status = apply(grants, network).map_err(|error| format!("Landlock: {error}"))?;
    let unusable = match status.landlock {
        LandlockStatus::NotEnabled => Some("Landlock is off: add it to the kernel's `lsm=` parameter"),
        LandlockStatus::NotImplemented => Some("the kernel has no Landlock: it is there since 5.13"),
        LandlockStatus::Available { effective_abi, .. } => {
            if status.ruleset == RulesetStatus::NotEnforced {
                return Err("Landlock is there and enforced nothing".to_owned());
            }
            report.hold(SandboxMechanism::Landlock);
            if effective_abi >= ABI::V6 {
                report.hold(SandboxMechanism::LandlockScopes);
            } else {
                report.miss(SandboxMechanism::LandlockScopes, "the kernel's Landlock has no scopes: they are there since 6.12");
            }
            None
        }
    };
    if let Some(why) = unusable {
        report.miss(SandboxMechanism::Landlock, why);
        report.miss(SandboxMechanism::LandlockScopes, why);
    }
    Ok(())
}

fn apply(grants: &[Grant], network: &SandboxNetwork) -> Result<landlock::RestrictionStatus, RulesetError> {
    let mut rules = Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(AccessFs::from_all(NEWEST))?;
    if *network != SandboxNetwork::Host {
        rules = rules.handle_access(AccessNet::from_all(NEWEST))?;
    }
    let mut created = rules.scope(Scope::from_all(NEWEST))?.create()?;
    for grant in grants {
        // By its path: in a tree of its own it is another mount than the one that was opened.
        let Ok(opened) = PathFd::new(&grant.real) else { continue };
        created = created.add_rule(PathBeneath::new(opened, rights(grant)))?;
    }
    if matches!(network, SandboxNetwork::Egress(_)) {
        created = created.add_rule(NetPort::new(PROXY_PORT, AccessNet::ConnectTcp))?;
    }
    created.restrict_self()
}

/// The rights for a grant; devices are never made.
fn rights(grant: &Grant) -> BitFlags<AccessFs> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let all = match grant.access {
        Access::List => AccessFs::ReadDir.into(),
        Access::Read => read,
        Access::Execute => read | AccessFs::Execute,
        Access::Write if grant.device => AccessFs::ReadFile | AccessFs::WriteFile,
        Access::Write => {
            AccessFs::from_all(NEWEST) & !(AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev)
        }
    };
    if grant.folder { all } else { all & AccessFs::from_file(NEWEST) }
}
