//! The steps of AWS's guides with AWS's own command line.

use serde_json::Value;

use crate::aws::{self, OPERATOR_ROLE, Peers, RILEY, SPACE_ARN, SUPPORT_ROLE, acme, credentials, endpoint, isolated, said};
use crate::client::json;
use crate::gateway::{Remit, Said};

/// The command line with profiles for the space and for riley.
struct Cli {
    peers: Peers,
    remit: Remit,
}

impl Cli {
    fn start() -> Self {
        let remit = Remit::up_at(acme(&[]), &[]);
        let data = remit.place().data();
        let profile = |name: &str, principal: &str| {
            let program = env!("CARGO_BIN_EXE_remit");
            format!(
                "[profile {name}]\ncredential_process = {program} credentials --principal {principal} --data {}\n",
                data.display()
            )
        };
        let config = profile("prod-sre", SPACE_ARN) + profile("riley", RILEY).as_str();
        std::fs::write(remit.place().root().join("aws-config"), config).unwrap();
        Self { peers: Peers::installed(), remit }
    }

    fn run(&self, environment: &[(&str, String)], arguments: &str) -> Said {
        let mut command = isolated(&self.peers.bin("aws"), &self.remit);
        command.envs(environment.iter().map(|(name, value)| (name, value))).args(["--endpoint-url", &endpoint(&self.remit)]);
        said(command.args(["--output", "json"]).args(arguments.split(' ')))
    }

    #[track_caller]
    fn ok(&self, environment: &[(&str, String)], arguments: &str) -> Value {
        let said = self.run(environment, arguments);
        assert_eq!(said.code, 0, "{arguments}: {said:?}");
        json(&said.out)
    }

    #[track_caller]
    fn refused(&self, environment: &[(&str, String)], arguments: &str, what: &str) {
        let said = self.run(environment, arguments);
        assert!(said.code != 0 && said.err.contains(what), "{arguments}: {said:?}");
    }
}

#[test]
fn the_cross_account_role_is_assumed_by_external_id_alone() {
    let cli = Cli::start();
    let assume = format!("sts assume-role --role-arn {SUPPORT_ROLE} --role-session-name test");
    let pair = credentials(&cli.remit, SPACE_ARN, &[]);
    assert_eq!(pair["Version"], 1);
    let environment = aws::environment(&pair);
    for (environment, profile) in [(&[][..], " --profile prod-sre"), (&environment[..], "")] {
        let assumed = cli.ok(environment, &format!("{assume} --external-id {SPACE_ARN}{profile}"));
        assert_eq!(assumed["AssumedRoleUser"]["Arn"], "arn:aws:sts::444455556666:assumed-role/DevOpsAgentSpaceRole/test");
        let who = cli.ok(&aws::environment(&assumed["Credentials"]), "sts get-caller-identity");
        assert_eq!((&who["Arn"], &who["Account"]), (&assumed["AssumedRoleUser"]["Arn"], &"444455556666".into()));
        assert_eq!(who["UserId"], assumed["AssumedRoleUser"]["AssumedRoleId"]);
        for external_id in [
            "",
            " --external-id arn:aws:aidevops:us-east-1:111122223333:agentspace/incident-review",
            " --external-id ARN:aws:aidevops:us-east-1:111122223333:agentspace/prod-sre",
            " --external-id arn:aws:aidevops:us-east-1:111122223333:agent-space/prod-sre",
        ] {
            cli.refused(environment, &format!("{assume}{external_id}{profile}"), "An error occurred (AccessDenied)");
        }
    }
    let sessions = cli.remit.place().log_of("session");
    let given: Vec<&Value> = sessions.iter().filter(|entry| entry["action"] == "AssumeRole").collect();
    assert_eq!(given.iter().filter(|entry| entry["error"].is_null()).count(), 2);
    assert_eq!(given.iter().filter(|entry| entry["error"]["code"] == "AccessDenied").count(), 8);
    assert!(given.iter().all(|entry| entry["credential_id"].is_string() && entry["detail"]["role_arn"] == SUPPORT_ROLE));
    let text = sessions.iter().map(ToString::to_string).collect::<String>();
    assert!(!text.contains(pair["SecretAccessKey"].as_str().unwrap()) && !text.contains(pair["SessionToken"].as_str().unwrap()));
    cli.remit.stop();
}

#[test]
fn roles_and_policies_are_read() {
    let cli = Cli::start();
    let riley = |arguments: &str| cli.ok(&[], &format!("iam {arguments} --profile riley"));
    let role = &riley("get-role --role-name DevOpsAgentSpaceRole")["Role"];
    let conditions = &role["AssumeRolePolicyDocument"]["Statement"][0]["Condition"];
    assert_eq!(conditions["StringEquals"]["aws:SourceAccount"], "111122223333");
    assert_eq!(conditions["ArnEquals"]["aws:SourceArn"], SPACE_ARN);
    assert_eq!(role["Arn"], aws::SPACE_ROLE);
    let attached = riley("list-attached-role-policies --role-name DevOpsAgentSpaceRole");
    assert_eq!(attached["AttachedPolicies"][0]["PolicyArn"], "arn:aws:iam::aws:policy/AIDevOpsAgentAccessPolicy");
    let inline = riley("list-role-policies --role-name DevOpsAgentSpaceRole");
    assert_eq!(inline["PolicyNames"], serde_json::json!(["act-in-incidents", "resource-explorer"]));
    let policy = riley("get-role-policy --role-name DevOpsAgentSpaceRole --policy-name resource-explorer");
    let condition = &policy["PolicyDocument"]["Statement"][0]["Condition"];
    assert_eq!(condition["StringEquals"]["iam:AWSServiceName"], "resource-explorer-2.amazonaws.com");
    let managed = "--policy-arn arn:aws:iam::aws:policy/AIDevOpsAgentAccessPolicy";
    let version = riley(&format!("get-policy-version {managed} --version-id v1"));
    assert_eq!(version["PolicyVersion"]["Document"]["Statement"][0]["Sid"], "ReadTools");
    assert_eq!(riley(&format!("get-policy {managed}"))["Policy"]["DefaultVersionId"], "v1");
    let operator = riley("get-role --role-name DevOpsAgentOperatorAppRole");
    let trust = operator["Role"]["AssumeRolePolicyDocument"].to_string();
    assert!(trust.contains("aws:SourceAccount") && trust.contains("sts:TagSession"), "{trust}");
    assert!(riley("list-roles")["Roles"].as_array().unwrap().len() >= 3);
    cli.refused(&[], "iam get-role --role-name Nobody --profile riley", "(NoSuchEntity)");
    // The agent's own role reads tools, and no roles.
    cli.refused(&[], "iam get-role --role-name DevOpsAgentSpaceRole --profile prod-sre", "(AccessDenied)");
    cli.refused(&[], "iam create-user --user-name mallory --profile riley", "(InvalidAction)");
    cli.remit.stop();
}

#[test]
fn an_operator_has_half_an_hour() {
    let cli = Cli::start();
    let assume = format!("sts assume-role --role-arn {OPERATOR_ROLE} --role-session-name riley --profile riley");
    let told = cli.ok(&[], &assume);
    let stated = cli.ok(&[], &format!("{assume} --duration-seconds 1800"));
    for assumed in [&told, &stated] {
        let id = &assumed["Credentials"]["AccessKeyId"];
        let log = cli.remit.place().log_of("session");
        let entry = log.iter().find(|entry| entry["detail"]["access_key_id"] == *id).unwrap();
        let at = entry["time"].as_str().unwrap();
        assert_eq!(lifetime(at, assumed["Credentials"]["Expiration"].as_str().unwrap()), 1800, "{entry}");
    }
    cli.refused(&[], &format!("{assume} --duration-seconds 1801"), "(ValidationError)");
    let session = cli.ok(&[], "sts get-session-token --duration-seconds 900 --profile riley");
    let environment = aws::environment(&session["Credentials"]);
    assert_eq!(cli.ok(&environment, "sts get-caller-identity")["Arn"], RILEY);
    cli.refused(&environment, "sts get-session-token", "(AccessDenied)");
    cli.remit.stop();
}

/// Seconds from a time of the journal to one of an answer, both of which are on the same day or on two that follow each other.
pub(crate) fn lifetime(from: &str, to: &str) -> i64 {
    let second = |text: &str| {
        let parts: Vec<i64> = text.get(11..19).unwrap().split(':').map(|part| part.parse().unwrap()).collect();
        parts[0] * 3600 + parts[1] * 60 + parts[2]
    };
    (second(to) - second(from)).rem_euclid(86_400)
}
