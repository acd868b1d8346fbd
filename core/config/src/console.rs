//! `console`: who signs people in to the console, and which roles they may take there.

use remit_model::{CONSOLE_SESSION_SECS_MAX, Console, RoleKey, SignIn};

use crate::draft::Draft;
use crate::item::{Item, Object, shown};
use crate::server::NETWORKS;
use crate::suggest::did_you_mean;
use crate::url::{Rules, url};

/// The most roles that may be taken.
const ROLES_MAX: usize = 64;
/// The longest client id, in bytes.
const CLIENT_ID_BYTES_MAX: usize = 512;
/// The shortest session that can be asked for, in seconds: STS gives none that is shorter.
const SESSION_SECS_MIN: u64 = 900;

/// Reads it: once in all files. Roles are known by then.
pub(crate) fn console(roots: &[Object<'_>], draft: &Draft<'_>) -> Option<Console> {
    let found: Vec<_> = roots.iter().filter_map(|root| root.get("console")).collect();
    for more in found.iter().skip(1) {
        more.error("the console is described twice", "keep one `console`");
    }
    let item = found.first()?;
    let object = item.object("a console", &["sign_in", "roles", "session_secs_max"])?;
    let sign_in = object.get("sign_in").map(|item| sign_in(&item));
    let roles: Vec<RoleKey> = object
        .get("roles")
        .map(|list| list.texts("ARNs of roles"))
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(arn, item)| role(arn, &item, draft))
        .collect();
    if roles.len() > ROLES_MAX {
        item.error(format!("there are more than {ROLES_MAX} roles"), "name fewer");
    }
    if sign_in.is_some() && roles.is_empty() {
        item.warn("whoever signs in can take no role, and so do nothing", "name the roles that may be taken in `roles`");
    }
    let session_secs_max = object.get("session_secs_max").and_then(|item| {
        let secs = item.count(CONSOLE_SESSION_SECS_MAX)?;
        if secs < SESSION_SECS_MIN {
            item.error("a session lasts at least 900 seconds", "write 900 or more");
        }
        Some(secs)
    });
    // What can't be read refuses the configuration; it is never left out.
    let sign_in = match sign_in {
        Some(read) => Some(read?),
        None => None,
    };
    Some(Console { sign_in, roles, session_secs_max: session_secs_max.unwrap_or(CONSOLE_SESSION_SECS_MAX) })
}

fn role(arn: &str, item: &Item<'_>, draft: &Draft<'_>) -> Option<RoleKey> {
    let Some(key) = RoleKey::of_arn(arn) else {
        item.error(format!("{} is no role's ARN", shown(arn)), "write `arn:aws:iam::<account>:role/<name>`");
        return None;
    };
    let partition = &draft.organization.partition;
    match draft.roles.get(&key).map(|role| role.role.arn(partition)) {
        Some(own) if own == arn => Some(key),
        _ if !draft.complete => Some(key),
        _ => {
            let arns: Vec<String> = draft.roles.values().map(|role| role.role.arn(partition)).collect();
            let mean = did_you_mean(arn, arns.iter().map(String::as_str));
            item.error(format!("there is no role {}{mean}", shown(arn)), "add it to `roles`, or correct the ARN");
            None
        }
    }
}

fn sign_in(item: &Item<'_>) -> Option<SignIn> {
    let object = item.object("a sign-in", &["issuer", "client_id", "client_secret", "scopes", "network"])?;
    let network = object.get("network").and_then(|network| network.choice(&NETWORKS)).unwrap_or_default();
    let issuer = object.need("issuer").and_then(|address| url(&address, Rules { network, query: false }));
    let client_id = object.need("client_id").and_then(|item| {
        let text = item.text()?;
        if text.len() > CLIENT_ID_BYTES_MAX {
            item.error(format!("a client id has at most {CLIENT_ID_BYTES_MAX} bytes"), "correct it");
        }
        Some(text.to_owned())
    });
    let secret = object.get("client_secret");
    let client_secret = secret.as_ref().and_then(crate::secret::secret);
    let scopes = object.get("scopes").map(|list| list.texts("scopes")).unwrap_or_default();
    let mut scopes: Vec<String> = scopes
        .into_iter()
        .filter(|(text, item)| {
            let fits = text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
            if !fits {
                item.error(format!("{} is no scope", shown(text)), "a scope has no spaces and no quotes");
            }
            fits
        })
        .map(|(text, _)| text.to_owned())
        .collect();
    if scopes.is_empty() {
        scopes = ["openid", "email"].map(str::to_owned).to_vec();
    } else if !scopes.iter().any(|scope| scope == "openid") {
        scopes.insert(0, "openid".to_owned());
    }
    // A secret that can't be read doesn't make a public client.
    if secret.is_some() && client_secret.is_none() {
        return None;
    }
    Some(SignIn { issuer: issuer?, client_id: client_id?, client_secret, scopes, network })
}
