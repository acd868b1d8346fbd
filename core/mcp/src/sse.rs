//! Server-sent events (WHATWG HTML, section 9.2), incrementally, with a limit on what one event may hold.

use bytes::Bytes;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// Its id, if it set one.
    pub id: Option<String>,
    /// Its type; `None` is `message`.
    pub event: Option<String>,
    /// A new reconnection time in milliseconds.
    pub retry_ms: Option<u64>,
    /// Its data; the lines joined by a line feed.
    pub data: Bytes,
}

/// An event grew over the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is larger than {0} bytes")]
pub struct EventTooLarge(pub usize);

/// Cuts a byte stream into events.
#[derive(Debug)]
pub struct Parser {
    buffer: Vec<u8>,
    /// How far the buffer has been searched for a line's end.
    searched: usize,
    started: bool,
    event: Event,
    data: Vec<u8>,
    has_data: bool,
    event_bytes_max: usize,
}

impl Parser {
    /// A parser that refuses events over `event_bytes_max` bytes.
    pub fn new(event_bytes_max: usize) -> Self {
        Self {
            buffer: Vec::new(),
            searched: 0,
            started: false,
            event: Event::default(),
            data: Vec::new(),
            has_data: false,
            event_bytes_max,
        }
    }

    /// Takes the next bytes and appends the events that they complete.
    pub fn feed(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), EventTooLarge> {
        self.buffer.extend_from_slice(bytes);
        let mut start = 0;
        while let Some((line_end, next)) = self.line_end(start) {
            let line = self.buffer.get(start..line_end).unwrap_or_default().to_vec();
            start = next;
            self.searched = next;
            self.line(&line, events);
            if self.data.len() > self.event_bytes_max {
                return Err(EventTooLarge(self.event_bytes_max));
            }
        }
        self.buffer.drain(..start);
        self.searched = self.buffer.len().saturating_sub(1);
        if self.buffer.len() + self.data.len() > self.event_bytes_max.saturating_add(1024) {
            return Err(EventTooLarge(self.event_bytes_max));
        }
        Ok(())
    }

    /// The end of the line that starts at `start`, and where the next one starts. A carriage return at the very end waits
    /// for what follows it.
    fn line_end(&self, start: usize) -> Option<(usize, usize)> {
        let from = self.searched.max(start);
        let offset = self.buffer.get(from..)?.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
        let end = from + offset;
        match (self.buffer.get(end), self.buffer.get(end + 1)) {
            (Some(b'\n'), _) => Some((end, end + 1)),
            (Some(b'\r'), Some(b'\n')) => Some((end, end + 2)),
            (Some(b'\r'), Some(_)) => Some((end, end + 1)),
            _ => None,
        }
    }

    fn line(&mut self, line: &[u8], events: &mut Vec<Event>) {
        let line = if self.started { line } else { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) };
        self.started = true;
        if line.is_empty() {
            let mut event = std::mem::take(&mut self.event);
            let data = std::mem::take(&mut self.data);
            let has_data = std::mem::take(&mut self.has_data);
            if has_data || event.id.is_some() || event.retry_ms.is_some() {
                event.data = data.into();
                events.push(event);
            }
            return;
        }
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            Some(0) => return,
            Some(colon) => {
                let value = line.get(colon + 1..).unwrap_or_default();
                (line.get(..colon).unwrap_or_default(), value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &[][..]),
        };
        match name {
            b"data" => {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.data.extend_from_slice(value);
            }
            b"id" if !value.contains(&0) => self.event.id = Some(String::from_utf8_lossy(value).into_owned()),
            b"event" => self.event.event = Some(String::from_utf8_lossy(value).into_owned()),
            b"retry" => self.event.retry_ms = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()),
            _ => {}
        }
    }
}

/// Writes an event. Line breaks inside the data become lines of their own.
pub fn write(id: Option<&str>, retry_ms: Option<u64>, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 32);
    if let Some(id) = id {
        out.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    if let Some(retry) = retry_ms {
        out.extend_from_slice(format!("retry: {retry}\n").as_bytes());
    }
    for line in data.split(|byte| *byte == b'\n') {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        out.push(b'\n');
    }
    out.push(b'\n');
    out
}

/// A comment, to keep a connection alive.
pub const KEEP_ALIVE: &[u8] = b":\n\n";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(chunks: &[&[u8]]) -> Vec<Event> {
        let mut parser = Parser::new(1 << 20);
        let mut events = Vec::new();
        for chunk in chunks {
            parser.feed(chunk, &mut events).unwrap();
        }
        events
    }

    #[test]
    fn events() {
        let events = all(&[b"id: 1\nretry: 50\ndata:\n\n", b": hi\ndata: a\ndata: b\r\n\r\nevent: x\rdata: c\r\r", b"data: cut"]);
        assert_eq!(events.len(), 3);
        assert_eq!((events[0].id.as_deref(), events[0].retry_ms, &events[0].data[..]), (Some("1"), Some(50), &b""[..]));
        assert_eq!(&events[1].data[..], b"a\nb");
        assert_eq!((events[2].event.as_deref(), &events[2].data[..]), (Some("x"), &b"c"[..]));
    }

    #[test]
    fn floods_are_refused() {
        let mut parser = Parser::new(1000);
        let mut events = Vec::new();
        let mut said = Ok(());
        for _ in 0..100 {
            said = said.and_then(|()| parser.feed(&[b'x'; 100], &mut events));
        }
        assert_eq!(said, Err(EventTooLarge(1000)));
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same(data in prop::collection::vec("[a-z\n]{0,20}", 0..6), cut in 1usize..7) {
            let bytes: Vec<u8> = data.iter().flat_map(|text| write(Some("7"), None, text.as_bytes())).collect();
            let whole = all(&[&bytes]);
            let parts: Vec<&[u8]> = bytes.chunks(cut).collect();
            prop_assert_eq!(&whole, &all(&parts));
            let read: Vec<String> = whole.iter().map(|event| String::from_utf8(event.data.to_vec()).unwrap()).collect();
            prop_assert_eq!(read, data);
        }
    }
}
