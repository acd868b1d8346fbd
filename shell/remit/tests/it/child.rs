//! A server that Remit starts: a shell script that speaks MCP on its standard input and output.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

const SCRIPT: &str = r#"#!/bin/sh
echo $$ >> "$PIDS"
reply() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$1"; }
while IFS= read -r line; do
  id=${line#*\"id\":}; id=${id%%,*}
  case "$line" in
    *'"method":"initialize"'*) reply '{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"sh","version":"1"}}' ;;
    *'"method":"tools/list"'*) reply '{"tools":[{"name":"environment","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}},{"name":"wait","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}},{"name":"die","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}}]}' ;;
    *'"name":"die"'*) exit 1 ;;
    *'"name":"wait"'*) gate=${line#*\"wait\":\"}; read -r _ < "${gate%%\"*}"; reply '{"content":[]}' ;;
    *'"method":"tools/call"'*) text=$(tr '\0"\\' '|__' < /proc/$$/environ); reply '{"content":[{"type":"text","text":"'"$text"'"}]}' ;;
    *'"method":"notifications/cancelled"'*) echo "$line" >> "$PIDS.cancelled" ;;
    *'"method":"notifications/'*) ;;
    *) printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"unknown"}}\n' "$id" ;;
  esac
done
"#;

/// The script in a folder, and the file in which each start of it writes its process.
pub(crate) struct Script {
    path: PathBuf,
    pids: PathBuf,
}

impl Script {
    pub(crate) fn write(folder: &Path) -> Self {
        let script = Self { path: folder.join("server.sh"), pids: folder.join("pids") };
        std::fs::write(&script.path, SCRIPT).unwrap();
        script
    }

    /// The registration of this server.
    pub(crate) fn server(&self, name: &str) -> Value {
        // What is tested is which of its processes live, by the ids that they have outside.
        json!({"name": name, "command": ["/bin/sh", self.path], "env": {"PIDS": self.pids, "MODE": "plain"},
               "sandbox": {"profile": "none", "reason": "its processes are looked for by their ids"}})
    }

    /// The cancellations that came.
    pub(crate) fn cancelled(&self) -> usize {
        std::fs::read_to_string(self.pids.with_extension("cancelled")).unwrap_or_default().lines().count()
    }

    /// The processes that were started, in order.
    pub(crate) fn pids(&self) -> Vec<u32> {
        std::fs::read_to_string(&self.pids).unwrap_or_default().lines().map(|line| line.parse().unwrap()).collect()
    }
}
