//! A sample server by itself: `cargo run -p remit-sample --example serve -- helpdesk [--http]`.

use std::io::Write as _;

use remit_sample::{Access, HttpServer, serve_stdio};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let name = arguments.first().map_or("helpdesk", String::as_str);
    if !arguments.iter().any(|argument| argument == "--http") {
        return serve_stdio(name);
    }
    let server = HttpServer::bind(name, 0, Access::Open).await?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{{\"url\":\"{}\"}}", server.url()?)?;
    stdout.flush()?;
    server.serve().await
}
