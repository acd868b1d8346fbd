//! Who asks the operator's interface, and what of it they may do.

use remit_kernel::operate::{Operation, operate};
use remit_kernel::{Origin, Session, SessionOf, Snapshot};
use remit_model::{Person, Proof};

use crate::signed::is_consoles;

/// Somebody who was authenticated.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// As records name them.
    pub(crate) person: Person,
    /// Whether the name is more than a stand-in.
    named: bool,
    /// The key that signed the request, if one did.
    signed_with: Option<String>,
    acts: Acts,
}

/// In whose right somebody acts.
#[derive(Debug, Clone)]
enum Acts {
    /// The machine's administrator: whoever can read the operator's token could change the data directory as well.
    Administrator,
    /// In a role, whose policies decide.
    Role(Box<(Session, Origin)>),
    /// In no role, and why: nothing is allowed.
    Nobody(&'static str),
}

impl Caller {
    /// Whoever shows the operator's token, and may say by which name they go.
    pub(crate) fn machine() -> Self {
        let person = Person { id: "operator".to_owned(), proof: Proof::Token };
        Self { person, named: false, signed_with: None, acts: Acts::Administrator }
    }

    /// Whoever came by a link that was made with the operator's token.
    pub(crate) fn administrator(person: Person) -> Self {
        Self { person, named: true, signed_with: None, acts: Acts::Administrator }
    }

    /// Somebody who acts in a session of a role.
    pub(crate) fn in_role(person: Person, session: Session, origin: Origin) -> Self {
        Self { person, named: true, signed_with: None, acts: Acts::Role(Box::new((session, origin))) }
    }

    /// Whoever signed a request with the keys of a session: one of a role that is the console's, or nobody.
    ///
    /// Such keys are also given to whoever shows the operator's token, so that of a person they prove no more than it does.
    pub(crate) fn signed(snapshot: &Snapshot, session: &Session, origin: Origin) -> Self {
        let organization = &snapshot.organization;
        let signed_with = Some(session.id.clone());
        let of = |id: String, acts: Acts| Self { person: Person { id, proof: Proof::Token }, named: true, signed_with, acts };
        let SessionOf::Role(key) = &session.who else {
            return of(session.name.clone(), Acts::Nobody("people operate in a role: assume one first"));
        };
        let partition = &organization.partition;
        let arn = format!("arn:{partition}:sts::{}:assumed-role/{}/{}", key.account, key.name, session.name);
        if !is_consoles(snapshot, key) {
            return of(arn, Acts::Nobody("this role is none of the configuration's `console.roles`"));
        }
        of(arn, Acts::Role(Box::new((session.clone(), origin))))
    }

    /// Somebody who has taken no role.
    pub(crate) fn nobody(person: Person) -> Self {
        Self { person, named: true, signed_with: None, acts: Acts::Nobody("no role was taken") }
    }

    /// How the caller is proved, as records say it; and the key that signed, if one did.
    pub(crate) fn proof(&self) -> (&'static str, Option<&str>) {
        match &self.signed_with {
            Some(key) => ("SIGNATURE", Some(key)),
            None => (self.person.proof.as_str(), None),
        }
    }

    /// Whether records can name them.
    pub(crate) fn is_named(&self) -> bool {
        self.named
    }

    /// Takes the name that whoever shows the operator's token says; everybody else has one.
    pub(crate) fn go_by(&mut self, name: &str) {
        if !self.named {
            name.clone_into(&mut self.person.id);
            self.named = true;
        }
    }

    /// Among whose requests one is looked for that was sent before: the machine's administrator is one, by whatever name.
    pub(crate) fn repeats_as(&self) -> String {
        match &self.acts {
            Acts::Administrator => "administrator".to_owned(),
            Acts::Nobody(_) => format!("nobody {}", self.person.id),
            Acts::Role(role) => format!("{:?} {}", role.0.who, self.person.id),
        }
    }

    /// The role's name, or what stands for one.
    pub(crate) fn role(&self) -> String {
        match &self.acts {
            Acts::Administrator => "machine administrator".to_owned(),
            Acts::Role(role) => match &role.0.who {
                SessionOf::Role(key) => key.name.as_str().to_owned(),
                SessionOf::User(key) => key.name.as_str().to_owned(),
            },
            Acts::Nobody(_) => "no role".to_owned(),
        }
    }

    /// Whether they may do something.
    pub(crate) fn may(&self, snapshot: &Snapshot, action: &str, resource: &str, now_secs: u64) -> Operation {
        let said = |allowed: bool, statement: &str| Operation { allowed, statement: statement.to_owned(), layers: Vec::new() };
        match &self.acts {
            Acts::Administrator => said(true, "whoever holds the operator's token administers this machine"),
            Acts::Nobody(why) => said(false, why),
            Acts::Role(role) => operate(snapshot, &role.0, action, resource, &role.1, now_secs),
        }
    }
}
