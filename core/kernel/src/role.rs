//! In which role an agent acts, and what the organization's policies say of its call.
//!
//! An agent that shows a token acts in its space's role: the space, a service, assumes it for the agent, and the role's trust policy must
//! let it. An agent that signs its requests acts in the session whose key pair it signs with. For a server of another account the
//! acting role assumes the one that the space's entry names, and that role decides.

use remit_identity::sts::Tag;
use remit_model::{Organization, Role, RoleKey, ServerKey, SpaceServer, TrustZone};

use crate::context::{Actor, Asked, CallFacts, SessionFacts};
use crate::facts::{Fact, Facts, Principal, SessionOf};
use crate::said::Said;
use crate::snapshot::{Snapshot, SpaceView};
use crate::tree::{Acting, Ask, Judged, Open, role_session, session_name, silent, space_service, stand_in};
use crate::verdict::{ActedAs, Effect, Layer, Reason, Statement};

/// What is called, as IAM names it.
pub(crate) struct Called<'a> {
    pub(crate) action: &'static str,
    pub(crate) arn: &'a str,
    pub(crate) server: &'a ServerKey,
    pub(crate) tool: Option<&'a str>,
    pub(crate) class: Option<&'static str>,
    pub(crate) risk: Option<&'static str>,
    pub(crate) categories: &'a [String],
}

/// What a session is assumed with.
struct Given<'a> {
    external_id: Option<&'a str>,
    tags: &'a [Tag],
    source_identity: Option<&'a str>,
    /// On whose behalf a service assumes it: account and ARN.
    source: Option<(&'a str, &'a str)>,
}

/// What is always the same while one call is judged.
struct Call<'a> {
    snapshot: &'a Snapshot,
    facts: &'a Facts,
    space: &'a SpaceView,
    principal: &'a Principal,
    called: &'a Called<'a>,
    now_secs: u64,
    explain: bool,
    open: Open,
}

/// Every layer of IAM, in order.
#[allow(clippy::too_many_arguments, reason = "everything that a call is")]
pub(crate) fn judge<'a>(
    snapshot: &'a Snapshot,
    facts: &'a Facts,
    space: &'a SpaceView,
    principal: &'a Principal,
    called: &'a Called<'a>,
    now_secs: u64,
    explain: bool,
    open: Open,
) -> Said {
    let call = Call { snapshot, facts, space, principal, called, now_secs, explain, open };
    let mut judged = Vec::with_capacity(6);
    let actor = match call.judged(&mut judged) {
        Ok(actor) => Some(actor),
        Err(missing) => {
            judged.push(missing);
            None
        }
    };
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let acted_as = actor.map(|actor| ActedAs {
        session_tags: actor.session_tags.iter().map(owned).collect(),
        source_identity: actor.source_identity.map(str::to_owned),
        principal_arn: actor.arn.into_owned(),
    });
    (judged, acted_as)
}

fn denied(judged: &[Judged]) -> bool {
    judged.iter().any(|line| !line.effect.agrees())
}

fn no_role(why: impl Into<Statement>) -> Judged {
    Judged {
        layer: Layer::RoleTrust,
        effect: Effect::ImplicitDeny,
        reason: Reason::RoleTrust,
        statement: why.into(),
        origin: None,
        near: Vec::new(),
        applied: Vec::new(),
    }
}

impl<'a> Call<'a> {
    fn organization(&self) -> &'a Organization {
        &self.snapshot.organization
    }

    fn role(&self, key: &RoleKey) -> Result<&'a Role, Judged> {
        self.organization().roles.get(key).ok_or_else(|| no_role(format!("there is no role {key}")))
    }

    /// Asks every layer; answers who acted.
    fn judged(&self, judged: &mut Vec<Judged>) -> Result<Actor<'a>, Judged> {
        let (mut actor, mut acting) = self.own(judged)?;
        if denied(judged) && !self.explain {
            return Ok(actor);
        }
        let entry = self.space.servers.iter().find(|(key, _)| key == self.called.server).map(|(_, entry)| entry);
        if let Some((entry, role)) = entry.and_then(|entry| Some((entry, entry.role.as_ref()?))) {
            let theirs = self.elsewhere(&actor, acting, entry, role, judged)?;
            if denied(judged) && !self.explain {
                return Ok(actor);
            }
            (actor, acting) = (theirs, Acting::Role(role));
        }
        if let Some(apart) = self.apart(acting) {
            judged.push(apart);
            if !self.explain {
                return Ok(actor);
            }
        }
        match acting {
            Acting::Unlimited if self.snapshot.tree.is_silent(&self.space.space.account, self.called.server) => {
                judged.extend(silent());
            }
            _ => judged.extend(self.called(&actor, acting)),
        }
        Ok(actor)
    }

    /// What keeps the acting role from the server: each is of a trust zone, or of none, and they are not of the same.
    fn apart(&self, acting: Acting<'_>) -> Option<Judged> {
        let role = match acting {
            Acting::Role(key) => Some((key, self.organization().roles.get(key).and_then(|role| role.zone.as_ref()))),
            _ => None,
        };
        let server = self.organization().servers.get(self.called.server).and_then(|server| server.zone.as_ref());
        if server == role.and_then(|(_, zone)| zone) {
            return None;
        }
        let who =
            role.map_or("the agent acts in no role".to_owned(), |(key, zone)| format!("role {key} is {}", TrustZone::told(zone)));
        Some(no_role(format!("server {} is {}, and {who}", self.called.server, TrustZone::told(server))))
    }

    /// In whose right the agent acts in its own account.
    fn own(&self, judged: &mut Vec<Judged>) -> Result<(Actor<'a>, Acting<'a>), Judged> {
        if let Some(session) = &self.principal.session {
            let SessionOf::Role(key) = &session.who else {
                return Err(no_role("an agent acts in a role, and this is a session of a user"));
            };
            let mut actor = role_session(self.organization(), self.role(key)?, session.name.as_str());
            actor.session_tags = session.tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str())).collect();
            actor.source_identity = session.source_identity.as_deref();
            actor.issued_at_secs = Some(session.issued_at_secs);
            return Ok((actor, Acting::Role(key)));
        }
        let Some(key) = &self.space.space.role else {
            let name = session_name(self.principal.agent.as_str());
            let stand_in = stand_in(self.organization(), &self.space.space, name);
            return Ok((self.as_agent(stand_in), Acting::Unlimited));
        };
        let role = self.role(key)?;
        let account = self.space.space.account.as_str();
        let service = space_service();
        let tags = self.organization().agents.get(&self.principal.agent).map(|agent| &agent.tags);
        let tag = |(key, value): (&String, &String)| Tag { key: key.clone(), value: value.clone(), transitive: false };
        let tags: Vec<Tag> = tags.into_iter().flatten().map(tag).collect();
        let given = Given {
            external_id: None,
            tags: &tags,
            source_identity: self.principal.user.as_deref(),
            source: Some((account, &self.space.arn)),
        };
        judged.extend(self.assume(&service, Acting::Nobody, role, &given));
        let session = role_session(self.organization(), role, session_name(self.principal.agent.as_str()));
        Ok((self.as_agent(session), Acting::Role(key)))
    }

    /// The agent's session: tagged with the agent's tags, its source identity the user for whom it acts.
    fn as_agent(&self, mut actor: Actor<'a>) -> Actor<'a> {
        if let Some(agent) = self.organization().agents.get(&self.principal.agent) {
            actor.session_tags = agent.tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        }
        actor.source_identity = self.principal.user.as_deref();
        actor.issued_at_secs = Some(self.principal.issued_at_secs);
        actor
    }

    /// The agent's session in the role of another account, if the acting one may assume it. What goes over is what goes over in any chain:
    /// transitive tags and the source identity. The agent's own tags stay in its account: here they would be somebody else's word.
    fn elsewhere(
        &self,
        actor: &Actor<'_>,
        acting: Acting<'_>,
        entry: &SpaceServer,
        key: &RoleKey,
        judged: &mut Vec<Judged>,
    ) -> Result<Actor<'a>, Judged> {
        let role = self.role(key)?;
        let external_id = entry.external_id.as_deref().unwrap_or(&self.space.arn);
        if let Fact::Known(revocations) = &self.facts.revocations
            && let Some(why) = revocations.find(&[], None, Some(key), self.principal.issued_at_secs)
        {
            judged.push(Judged { effect: Effect::ExplicitDeny, reason: Reason::Revoked, ..no_role(why) });
        }
        let session = self.principal.session.as_deref();
        let transitive = session.map(|session| session.tags.as_slice()).unwrap_or_default().iter().filter(|tag| tag.transitive);
        let tags: Vec<Tag> = transitive.clone().cloned().collect();
        let source_identity = match session {
            Some(session) => session.source_identity.as_deref(),
            None => self.principal.user.as_deref(),
        };
        let given = Given { external_id: Some(external_id), tags: &tags, source_identity, source: None };
        judged.extend(self.assume(actor, acting, role, &given));
        let mut theirs = role_session(self.organization(), role, session_name(self.principal.agent.as_str()));
        theirs.session_tags = transitive.map(|tag| (tag.key.as_str(), tag.value.as_str())).collect();
        theirs.source_identity = source_identity;
        theirs.issued_at_secs = Some(self.principal.issued_at_secs);
        Ok(theirs)
    }

    /// Whether a role may be assumed for this call. Only what speaks against it, or the trust itself, is a line of its own: the other
    /// layers are asked again for the call.
    fn assume(&self, actor: &Actor<'_>, acting: Acting<'_>, role: &Role, given: &Given<'_>) -> Vec<Judged> {
        let Given { external_id, tags, source_identity, source } = *given;
        let name = session_name(self.principal.agent.as_str());
        let session = SessionFacts { name, external_id, source_identity, tags, ..SessionFacts::default() };
        let asked = Asked {
            organization: self.organization(),
            actor,
            origin: &self.facts.origin,
            now_secs: self.now_secs,
            region: Some(self.space.space.region.as_str()),
            resource_account: Some(&role.key.account),
            resource_tags: Some(&role.tags),
            source,
            call: None,
            session: Some(session),
        };
        let arn = self.snapshot.tree.role_arn(&role.key).unwrap_or_default();
        // Tags and a source identity have actions of their own, which the same trust policy must allow.
        let also = [
            (true, "sts:AssumeRole"),
            (!tags.is_empty(), "sts:TagSession"),
            (source_identity.is_some(), "sts:SetSourceIdentity"),
        ];
        let mut judged = Vec::new();
        for (_, action) in also.into_iter().filter(|(is, _)| *is) {
            let trust = Some(&role.key);
            let (session, open) = (self.policies(acting), self.open);
            let ask = Ask { asked, acting, session, action, resource: arn, server: None, trust, open };
            let mut lines = self.snapshot.tree.ask(&ask, self.explain);
            // What applied in a layer without a line of its own applied nevertheless.
            let applied: Vec<_> = lines.iter_mut().flat_map(|line| std::mem::take(&mut line.applied)).collect();
            lines.retain(|line| line.layer == Layer::RoleTrust || !line.effect.agrees());
            if let Some(line) = lines.first_mut() {
                line.applied = applied;
            }
            judged.extend(lines);
            if denied(&judged) && !self.explain {
                break;
            }
        }
        judged
    }

    /// What every layer says of the call itself.
    fn called(&self, actor: &Actor<'_>, acting: Acting<'_>) -> Vec<Judged> {
        let server = self.organization().servers.get(self.called.server);
        let name = self.called.server.name.as_str();
        let call = CallFacts {
            agent: self.principal.agent.as_str(),
            user: self.principal.user.as_deref(),
            space_arn: &self.space.arn,
            server: name,
            called_via: server.and_then(|server| server.service_principal.as_deref()).unwrap_or(name),
            tool: self.called.tool,
            class: self.called.class,
            risk: self.called.risk,
            categories: self.called.categories,
        };
        let asked = Asked {
            organization: self.organization(),
            actor,
            origin: &self.facts.origin,
            now_secs: self.now_secs,
            region: Some(self.space.space.region.as_str()),
            resource_account: Some(&self.called.server.account),
            resource_tags: server.map(|server| &server.tags),
            source: None,
            call: Some(call),
            session: None,
        };
        let ask = Ask {
            asked,
            acting,
            session: self.policies(acting),
            action: self.called.action,
            resource: self.called.arn,
            server: Some(self.called.server),
            trust: None,
            open: self.open,
        };
        self.snapshot.tree.ask(&ask, self.explain)
    }

    /// The session's policies, while the agent acts in the session itself.
    fn policies(&self, acting: Acting<'_>) -> &'a [std::sync::Arc<remit_iam::Policy>] {
        match (&self.principal.session, acting) {
            (Some(session), Acting::Role(key)) if session.who == SessionOf::Role(key.clone()) => &session.policies,
            _ => &[],
        }
    }
}
