//! Policies that are shipped with Remit, as AWS ships its managed policies: `arn:aws:iam::aws:policy/<name>`.

use std::sync::Arc;

use remit_iam::{Keys, Policy, PolicyKind, PolicySet};

use crate::iam::Managed;

/// Name, kind and document of each.
const SHIPPED: [(&str, PolicyKind, &str); 13] = [
    (
        "FullAWSAccess",
        PolicyKind::ServiceControl,
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#,
    ),
    (
        "RCPFullAWSAccess",
        PolicyKind::ResourceControl,
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}"#,
    ),
    (
        "AdministratorAccess",
        PolicyKind::Identity,
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#,
    ),
    // Capabilities by the class of the tool: what reads, what plans, what applies.
    (
        "McpReadAccess",
        PolicyKind::Identity,
        r#"{"Version":"2012-10-17","Statement":[
            {"Sid":"ReadTools","Effect":"Allow","Action":"mcp:CallTool","Resource":"*",
             "Condition":{"StringEquals":{"mcp:ToolClass":"READ_ONLY"}}},
            {"Sid":"ReadContent","Effect":"Allow","Action":["mcp:GetPrompt","mcp:ReadResource"],"Resource":"*"}]}"#,
    ),
    (
        "McpPlanAccess",
        PolicyKind::Identity,
        r#"{"Version":"2012-10-17","Statement":[
            {"Sid":"PlanTools","Effect":"Allow","Action":"mcp:CallTool","Resource":"*",
             "Condition":{"StringEquals":{"mcp:ToolClass":["READ_ONLY","MUTATIVE"]},
                          "ForAnyValue:StringEquals":{"mcp:ToolCategories":["plan"]}}}]}"#,
    ),
    (
        "McpApplyAccess",
        PolicyKind::Identity,
        r#"{"Version":"2012-10-17","Statement":[
            {"Sid":"ApplyTools","Effect":"Allow","Action":"mcp:CallTool","Resource":"*",
             "Condition":{"StringEquals":{"mcp:ToolClass":["READ_ONLY","MUTATIVE"]}}}]}"#,
    ),
    (
        "McpFullAccess",
        PolicyKind::Identity,
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"mcp:*","Resource":"*"}]}"#,
    ),
    // What the DevOps Agent security guide attaches to a space's role: the agent reads, and no more.
    (
        "AIDevOpsAgentAccessPolicy",
        PolicyKind::Identity,
        r#"{"Version":"2012-10-17","Statement":[
            {"Sid":"ReadTools","Effect":"Allow","Action":"mcp:CallTool","Resource":"*",
             "Condition":{"StringEquals":{"mcp:ToolClass":"READ_ONLY"}}},
            {"Sid":"ReadContent","Effect":"Allow","Action":["mcp:GetPrompt","mcp:ReadResource"],"Resource":"*"}]}"#,
    ),
    // What it attaches to the role of the people who operate the space.
    (
        "AIDevOpsOperatorAppAccessPolicy",
        PolicyKind::Identity,
        r#"{"Version":"2012-10-17","Statement":[
            {"Sid":"OperateSpaces","Effect":"Allow","Action":["aidevops:Get*","aidevops:List*","aidevops:Describe*"],"Resource":"*"},
            {"Sid":"ReadTools","Effect":"Allow","Action":"mcp:CallTool","Resource":"*",
             "Condition":{"StringEquals":{"mcp:ToolClass":"READ_ONLY"}}}]}"#,
    ),
    // What people who operate Remit itself may do: look; decide approvals; write policies; everything.
    (
        "RemitViewerAccess",
        PolicyKind::Identity,
        r#"{"Version":"2012-10-17","Statement":[
            {"Sid":"Look","Effect":"Allow","Action":["remit:Get*","remit:List*","remit:Search*","remit:Explain"],"Resource":"*"}]}"#,
    ),
    (
        "RemitApproverAccess",
        PolicyKind::Identity,
        r#"{"Version":"2012-10-17","Statement":[
            {"Sid":"Look","Effect":"Allow","Action":["remit:Get*","remit:List*","remit:Search*","remit:Explain"],"Resource":"*"},
            {"Sid":"Decide","Effect":"Allow","Action":"remit:DecideApproval","Resource":"*"}]}"#,
    ),
    (
        "RemitPolicyAuthorAccess",
        PolicyKind::Identity,
        r#"{"Version":"2012-10-17","Statement":[
            {"Sid":"Look","Effect":"Allow","Action":["remit:Get*","remit:List*","remit:Search*","remit:Explain"],"Resource":"*"},
            {"Sid":"Author","Effect":"Allow","Action":["remit:PlanChange","remit:ReviewChange","remit:WithdrawChange"],"Resource":"*"}]}"#,
    ),
    (
        "RemitAdministratorAccess",
        PolicyKind::Identity,
        r#"{"Version":"2012-10-17","Statement":[{"Sid":"Operate","Effect":"Allow","Action":"remit:*","Resource":"*"}]}"#,
    ),
];

/// All of them. One that couldn't be read would be missing, and naming it an error; a test reads each.
pub(crate) fn all(partition: &str) -> Vec<(&'static str, Managed)> {
    let read = |(name, kind, text): &(&'static str, PolicyKind, &str)| {
        let node = remit_iam::document::parse(text).ok()?;
        let file = format!("arn:{partition}:iam::aws:policy/{name}");
        let policy = Policy::read(*kind, name, &file, &node).ok()?;
        Some((*name, Managed { kind: *kind, policy: Arc::new(policy), document: node.to_json().into(), shipped: true }))
    };
    SHIPPED.iter().filter_map(read).collect()
}

/// Allows everything: what a principal's own policies are taken for where only a trust policy is looked at.
pub(crate) fn administrator(keys: &mut Keys) -> PolicySet {
    let shipped = all("aws").into_iter().find(|(name, _)| *name == "AdministratorAccess");
    let policies: Vec<Arc<Policy>> = shipped.into_iter().map(|(_, managed)| managed.policy).collect();
    PolicySet::compile(keys, &policies)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_shipped_policy_is_read() {
        assert_eq!(super::all("aws").len(), super::SHIPPED.len());
    }
}
