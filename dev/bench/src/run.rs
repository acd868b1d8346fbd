//! The run: start everything, alternate, report.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::load::{Round, Target, round};
use crate::report::{percentile, say, spread};

/// What to run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) remit: String,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) connections: Vec<usize>,
    pub(crate) json: bool,
}

/// A process that doesn't outlive this value.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A way to the upstream.
struct Way {
    name: &'static str,
    target: Target,
    /// The process whose cost is counted; none for the direct way, whose cost is the upstream's own.
    process: u32,
}

/// What one way cost.
struct Cost {
    calls_per_sec: f64,
    p50_us: f64,
    p99_us: f64,
    cpu_us: f64,
    rss_mib: f64,
}

/// Compares the direct way, a bare proxy and Remit.
pub(crate) fn gateway(plan: &Plan) -> Result<(), String> {
    let home = std::env::temp_dir().join(format!("remit-bench-{}", std::process::id()));
    let ended = compare(plan, &home);
    let _ = fs::remove_dir_all(&home);
    ended
}

fn compare(plan: &Plan, home: &Path) -> Result<(), String> {
    let myself = std::env::current_exe().map_err(|error| error.to_string())?;
    let (upstream, ready) = start(Command::new(&myself).arg("upstream"))?;
    let upstream_url = text(&ready, "url")?;
    let (proxy, proxy_ready) = start(Command::new(&myself).args(["proxy", "--to", &upstream_url]))?;
    let Gateway { process: remit, space, token } = started(plan, &home.join("whole"), &configuration(&upstream_url), &[])?;
    let idle_mib = rss_mib(remit.0.id());
    if !plan.json {
        say(&format!(
            "{} rounds of {} s each, alternated; every answer checked; idle Remit {idle_mib:.1} MiB\n",
            plan.rounds, plan.seconds
        ));
        say("era     conns  way      calls/s   of direct     p50 µs     p99 µs   CPU µs/call (min–max)   RSS MiB");
    }
    let mut all = Vec::new();
    for modern in [false, true] {
        for &connections in &plan.connections {
            let target = |url: &str, tool: &str, token: Option<String>| address(url, tool, token, modern);
            let ways = [
                Way { name: "direct", target: target(&upstream_url, "echo", None)?, process: upstream.0.id() },
                Way { name: "proxy", target: target(&text(&proxy_ready, "url")?, "echo", None)?, process: proxy.0.id() },
                Way { name: "remit", target: target(&space, "bench___echo", Some(token.clone()))?, process: remit.0.id() },
            ];
            all.extend(measure(plan, &ways, modern, connections)?);
        }
    }
    let layers = ablation(plan, home, &upstream_url, &Gateway { process: remit, space, token })?;
    if plan.json {
        say(&json!({"idle_mib": idle_mib, "rows": all, "layers": layers}).to_string());
    }
    Ok(())
}

/// A gateway that runs.
struct Gateway {
    process: Process,
    space: String,
    token: String,
}

fn started(plan: &Plan, home: &Path, configuration: &str, options: &[&str]) -> Result<Gateway, String> {
    let (config, data) = (home.join("config"), home.join("data"));
    fs::create_dir_all(&config).map_err(|error| error.to_string())?;
    fs::write(config.join("bench.yaml"), configuration).map_err(|error| error.to_string())?;
    let mut up = Command::new(&plan.remit);
    up.args(["up", "--json", "--port", "0", "--control-port", "0", "--config"]).arg(&config).arg("--data").arg(&data);
    let (process, ready) = start(up.args(options))?;
    let space = format!("{}/spaces/bench/mcp", text(&ready, "gateway")?);
    let token = Command::new(&plan.remit)
        .args(["token", "--agent", "bench-agent", "--space", "bench", "--data"])
        .arg(&data)
        .output()
        .map_err(|error| error.to_string())?;
    let token = String::from_utf8_lossy(&token.stdout).trim().to_owned();
    if token.is_empty() {
        return Err("no token could be had".to_owned());
    }
    Ok(Gateway { process, space, token })
}

/// How many connections call while layers are left out one by one.
const ABLATION_CONNECTIONS: usize = 32;

/// What single layers cost: the same load on gateways that differ in one of them, in turn. What can't be left out of a gateway (strict
/// reading, space, tool policy, argument schema, the record itself) is in `bench layers`.
fn ablation(plan: &Plan, home: &Path, upstream: &str, whole: &Gateway) -> Result<Vec<Value>, String> {
    let memory = Path::new("/dev/shm").join(format!("remit-bench-{}", std::process::id()));
    let measured = ablated(plan, home, &memory, upstream, whole);
    let _ = fs::remove_dir_all(&memory);
    measured
}

fn ablated(plan: &Plan, home: &Path, memory: &Path, upstream: &str, whole: &Gateway) -> Result<Vec<Value>, String> {
    let organization = started(plan, &home.join("organization"), &governed(upstream), &[])?;
    let no_token = started(plan, &home.join("no-token"), &configuration(upstream), &["--anonymous-agent", "bench-agent"])?;
    let no_flush = started(plan, memory, &configuration(upstream), &[])?;
    if !plan.json {
        say("\nwith one thing more or less than remit above:");
    }
    let gateways = [("remit", whole), ("+iam", &organization), ("-token", &no_token), ("-flush", &no_flush)];
    let mut layers = Vec::new();
    for modern in [false, true] {
        let ways: Result<Vec<Way>, String> = gateways
            .iter()
            .map(|(name, gateway)| {
                let target = address(&gateway.space, "bench___echo", Some(gateway.token.clone()), modern)?;
                Ok(Way { name, target, process: gateway.process.0.id() })
            })
            .collect();
        let rows = measure(plan, &ways?, modern, ABLATION_CONNECTIONS)?;
        let cpu = |way: &str| {
            let row = rows.iter().find(|row| row.get("way").and_then(Value::as_str) == Some(way));
            row.and_then(|row| row.pointer("/cpu_us_per_call/median")).and_then(Value::as_f64).unwrap_or(f64::NAN)
        };
        let era = if modern { "modern" } else { "legacy" };
        let (iam, token, flush) = (cpu("+iam") - cpu("remit"), cpu("remit") - cpu("-token"), cpu("remit") - cpu("-flush"));
        if !plan.json {
            say(&format!(
                "{era}: organization, role, boundary and trust {iam:+.1} µs of CPU a call; verifying the token {token:+.1}; flushing to a disk \
                 rather than to memory {flush:+.1}"
            ));
        }
        layers.push(json!({"era": era, "iam_us": iam, "token_us": token, "flush_us": flush, "rows": rows}));
    }
    Ok(layers)
}

/// The same organization with policies at every level: root, unit and account, a role that is trusted, granted and bounded.
pub(crate) fn governed(upstream: &str) -> String {
    const ALLOW: &str = r#"Version: "2012-10-17", Statement: [{ Effect: Allow, Action: "mcp:*", Resource: "*" }]"#;
    const DENY: &str = r#"Version: "2012-10-17", Statement: [{ Effect: Deny, Action: "mcp:*", Resource: "*", Condition: { StringNotEquals: { "aws:RequestedRegion": us-east-1 } } }]"#;
    const TRUST: &str = r#"Version: "2012-10-17", Statement: [{ Effect: Allow, Principal: { Service: aidevops.amazonaws.com }, Action: "sts:AssumeRole", Condition: { StringEquals: { "aws:SourceAccount": "111122223333" }, ArnEquals: { "aws:SourceArn": "arn:aws:aidevops:us-east-1:111122223333:agentspace/bench" } } }]"#;
    let attached = "service_control_policies: [FullAWSAccess, region]";
    configuration(upstream)
        .replace("partition: aws }", &format!("partition: aws, {attached} }}\norganizational_units: [{{ id: ou-bench, name: Bench, {attached} }}]\npolicies:\n  - {{ name: region, type: SERVICE_CONTROL_POLICY, document: {{ {DENY} }} }}\n  - {{ name: cap, document: {{ {ALLOW} }} }}\nroles: [{{ name: bench, account: \"111122223333\", trust_policy: {{ {TRUST} }}, policies: [McpReadAccess, McpFullAccess], permissions_boundary: cap }}]"))
        .replace("name: bench }\nservers", &format!("name: bench, organizational_unit: ou-bench, {attached} }}\nservers"))
        .replace("    region: us-east-1\n", "    region: us-east-1\n    role: bench\n")
}

fn measure(plan: &Plan, ways: &[Way], modern: bool, connections: usize) -> Result<Vec<Value>, String> {
    let mut costs: Vec<Vec<Cost>> = ways.iter().map(|_| Vec::new()).collect();
    for number in 0..=plan.rounds {
        for (way, costs) in ways.iter().zip(&mut costs) {
            let before = cpu_us(way.process);
            let mut round = round(&way.target, connections, Duration::from_secs_f64(plan.seconds))?;
            let cpu = cpu_us(way.process) - before;
            // The first round warms up connections and caches.
            if number > 0 {
                costs.push(cost(&mut round, cpu, rss_mib(way.process)));
            }
        }
    }
    let direct = spread(costs.first().into_iter().flatten().map(|cost| cost.calls_per_sec).collect()).0;
    let mut rows = Vec::new();
    for (way, costs) in ways.iter().zip(&costs) {
        let of = |figure: fn(&Cost) -> f64| spread(costs.iter().map(figure).collect());
        let (rate, cpu) = (of(|cost| cost.calls_per_sec), of(|cost| cost.cpu_us));
        let (p50, p99, rss) = (of(|cost| cost.p50_us).0, of(|cost| cost.p99_us).0, of(|cost| cost.rss_mib).2);
        let era = if modern { "modern" } else { "legacy" };
        if !plan.json {
            say(&format!(
                "{era:7} {connections:5}  {:7} {:8.0}   {:8.3}   {p50:8.0}   {p99:8.0}   {:8.1} ({:.1}–{:.1})   {rss:8.1}",
                way.name,
                rate.0,
                rate.0 / direct,
                cpu.0,
                cpu.1,
                cpu.2
            ));
        }
        rows.push(json!({
            "era": era, "connections": connections, "way": way.name, "calls_per_sec": rate.0, "of_direct": rate.0 / direct,
            "p50_us": p50, "p99_us": p99, "cpu_us_per_call": {"median": cpu.0, "min": cpu.1, "max": cpu.2}, "rss_mib_max": rss
        }));
    }
    Ok(rows)
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn cost(round: &mut Round, cpu: f64, rss_mib: f64) -> Cost {
    round.latencies_us.sort_unstable();
    Cost {
        calls_per_sec: round.calls as f64 / round.elapsed.as_secs_f64(),
        p50_us: percentile(&round.latencies_us, 50),
        p99_us: percentile(&round.latencies_us, 99),
        cpu_us: cpu / round.calls as f64,
        rss_mib,
    }
}

pub(crate) fn configuration(upstream: &str) -> String {
    format!(
        "organization: {{ id: o-bench, name: Bench, partition: aws }}
accounts:
  - {{ id: \"111122223333\", name: bench }}
servers:
  - {{ name: bench, account: \"111122223333\", url: \"{upstream}\", network: loopback }}
agents:
  - {{ id: bench-agent, account: \"111122223333\", owner: bench@acme.example, credentials: [client_secret] }}
spaces:
  - id: bench
    account: \"111122223333\"
    region: us-east-1
    agents: [bench-agent]
    servers: [{{ server: bench, tools: [echo] }}]
tool_policies:
  - {{ agent: bench-agent, tool: bench___echo, allowed: true, max_risk: medium }}
"
    )
}

fn address(url: &str, tool: &str, token: Option<String>, modern: bool) -> Result<Target, String> {
    let rest = url.strip_prefix("http://").ok_or("not http")?;
    let (address, path) = rest.split_once('/').ok_or("no path")?;
    Ok(Target { address: address.to_owned(), path: format!("/{path}"), tool: tool.to_owned(), token, modern })
}

fn start(command: &mut Command) -> Result<(Process, Value), String> {
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| format!("{command:?}: {error}"))?;
    let stdout = child.stdout.take().ok_or("no output")?;
    let process = Process(child);
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).map_err(|error| error.to_string())?;
    let ready = serde_json::from_str(&line).map_err(|error| format!("{command:?} said `{}`: {error}", line.trim()))?;
    Ok((process, ready))
}

fn text(value: &Value, key: &str) -> Result<String, String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| format!("no `{key}` in {value}"))
}

/// User and system time of a process so far, in microseconds; the kernel counts in hundredths of a second.
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) fn cpu_us(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    (ticks(11) + ticks(12)) as f64 * 10_000.0
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn rss_mib(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0);
    kib as f64 / 1024.0
}
