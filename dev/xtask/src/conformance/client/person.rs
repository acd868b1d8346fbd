//! HTTP as little as a person's browser and an agent need it here: plain text, one request a connection.

use std::{
    error::Error,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The most redirects that are followed.
const REDIRECTS_MAX: usize = 5;
/// The largest answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Sends a request, whose answer is still to be read.
fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Result<TcpStream, Box<dyn Error>> {
    let rest = url.strip_prefix("http://").ok_or_else(|| format!("`{url}` is not plain HTTP"))?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{text}\r\n{body}").as_bytes())?;
    Ok(stream)
}

/// The data of the events of a stream, as they come, one line an event.
pub(super) fn listen(url: &str, headers: &[(&str, &str)]) -> Result<impl Iterator<Item = String> + use<>, Box<dyn Error>> {
    let mut all = vec![("accept", "text/event-stream")];
    all.extend_from_slice(headers);
    let stream = send("GET", url, &all, "")?;
    // What nobody writes on, ends with this process.
    stream.set_read_timeout(None)?;
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    Ok(lines.filter_map(|line| line.strip_prefix("data:").map(|data| data.trim().to_owned())))
}

/// One request.
pub(super) fn ask(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Result<Answer, Box<dyn Error>> {
    let stream = send(method, url, headers, body)?;
    let mut bytes = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").ok_or("the answer broke off")?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if chunked { unchunk(body) } else { body.to_owned() };
    Ok(Answer { status: status.ok_or("no status")?, headers, body })
}

/// What a browser does that a person consents with: it goes where it is sent.
pub(super) fn browse(url: &str) -> Result<Answer, Box<dyn Error>> {
    let mut url = url.to_owned();
    for _ in 0..REDIRECTS_MAX {
        let answer = ask("GET", &url, &[("accept", "text/html")], "")?;
        match answer.header("location") {
            Some(next) if (300..400).contains(&answer.status) => next.clone_into(&mut url),
            _ => return Ok(answer),
        }
    }
    Err("too many redirects".into())
}

fn unchunk(body: &str) -> String {
    let mut whole = String::new();
    let mut rest = body;
    while let Some((size, after)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else { break };
        let Some(chunk) = after.get(..size).filter(|_| size > 0) else { break };
        whole.push_str(chunk);
        rest = after.get(size + 2..).unwrap_or_default();
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::unchunk;

    #[test]
    fn chunks_are_put_together() {
        assert_eq!(unchunk("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), "abcde");
        assert_eq!(unchunk(""), "");
    }
}
