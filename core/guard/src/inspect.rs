//! Inspection of a text: what is found, which findings stand, and the text without them.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "scores: counts of words are far below 2^23, and the model's head holds small whole numbers"
)]

use std::{borrow::Cow, ops::Range};

use crate::{
    assessment::{Assessment, Confidence, Coverage, Effort, Encoding, Finding, Kind, Ran, Stage, matched},
    attack, decode,
    definition::{Action, ContentFilterType, GroundingFilterType, PiiType, Source, Strength},
    grounding,
    guardrail::{Guardrail, Mark, Side},
    hidden::Normal,
    lexicon,
    literals::Stands,
    pii, secret,
};

/// The longest text that is inspected, in bytes; a longer one is blocked.
pub const TEXT_BYTES_MAX: usize = 8 << 20;
/// The most findings in one text; with more it is blocked.
pub(crate) const FINDINGS_MAX: usize = 10_000;
/// How far around a telling word the attack classifier looks, in bytes.
const CUE_REACH: usize = 400;
/// The least attack score that is a finding.
const ATTACK_LEAST: f32 = 0.5;

/// What is inspected.
#[derive(Clone, Copy, Debug)]
pub struct Content<'t> {
    /// Which side it is on.
    pub source: Source,
    /// The text.
    pub text: &'t str,
    /// What an answer must be grounded in (`grounding_source`); empty if there is none.
    pub grounding_source: &'t str,
    /// What an answer must be relevant to (`query`); empty if there is none.
    pub query: &'t str,
    /// How much is done for it.
    pub effort: Effort,
}

impl<'t> Content<'t> {
    /// A text alone.
    #[must_use]
    pub fn new(source: Source, text: &'t str) -> Self {
        Self { source, text, grounding_source: "", query: "", effort: Effort::default() }
    }

    /// With the heavy stage, or without; measured, or not.
    #[must_use]
    pub fn effort(self, effort: impl Into<Effort>) -> Self {
        Self { effort: effort.into(), ..self }
    }
}

/// What was found in one text, before it is decided which findings stand.
pub(crate) struct Detected {
    pub(crate) findings: Vec<Finding>,
    pub(crate) ran: Ran,
}

impl Guardrail {
    /// Inspects a text.
    #[must_use]
    pub fn inspect(&self, content: &Content<'_>) -> Assessment {
        let (side, lap) = (self.side(content.source), content.effort.lap());
        let characters = content.text.chars().count();
        let total = Coverage { guarded: characters, total: characters };
        if content.text.len() > TEXT_BYTES_MAX {
            return self.undecided(content.source, "TEXT_TOO_LONG", total);
        }
        let mut detected = detect(side, content.text, content.effort, true);
        if content.effort.heavy {
            self.grounding(content, &mut detected);
        }
        if detected.findings.len() > FINDINGS_MAX {
            return self.undecided(content.source, "TOO_MANY_FINDINGS", total);
        }
        let mut findings = stand(detected.findings);
        let masked = mask(content.text, &findings);
        let mut ran = detected.ran;
        self.reason(content.text, content.source, content.effort, &mut findings, &mut ran);
        let blocked = findings.iter().any(|finding| finding.action == Action::Block);
        let output = if blocked { Some(side.message.to_string()) } else { masked };
        Assessment { source: content.source, findings, blocked, output, stages: ran.whole(lap), coverage: total }
    }

    /// What can't be inspected is blocked.
    pub(crate) fn undecided(&self, source: Source, name: &str, coverage: Coverage) -> Assessment {
        let finding = Finding { score: 1.0, action: Action::Block, ..found(Kind::Undecided, name, 0..0, "") };
        Assessment {
            source,
            findings: vec![finding],
            blocked: true,
            output: Some(self.side(source).message.to_string()),
            stages: Vec::new(),
            coverage: Coverage { guarded: 0, ..coverage },
        }
    }

    /// Contextual grounding, where there is something to hold an answer against.
    fn grounding(&self, content: &Content<'_>, detected: &mut Detected) {
        let (mut ran, lap) = (false, content.effort.lap());
        for filter in &self.definition().contextual_grounding {
            let against = match filter.kind {
                GroundingFilterType::Grounding => content.grounding_source,
                GroundingFilterType::Relevance => content.query,
            };
            if against.is_empty() || content.source != Source::Output {
                continue;
            }
            ran = true;
            let score = match filter.kind {
                GroundingFilterType::Grounding => grounding::support(content.text, against),
                GroundingFilterType::Relevance => grounding::relevance(content.text, against),
            };
            let threshold = filter.threshold as f32;
            let action = if score < threshold { filter.action } else { Action::None };
            let name = if filter.kind == GroundingFilterType::Grounding { "GROUNDING" } else { "RELEVANCE" };
            let confidence = if score < threshold { Confidence::High } else { Confidence::None };
            let finding = found(Kind::Grounding(filter.kind), name, 0..content.text.len(), "");
            detected.findings.push(Finding { score, threshold: Some(threshold), action, confidence, ..finding });
        }
        if ran {
            detected.ran.since(Stage::Grounding, lap);
        }
    }
}

/// A finding with what is known of every one.
pub(crate) fn found(kind: Kind, name: &str, range: Range<usize>, text: &str) -> Finding {
    Finding {
        kind,
        name: name.to_owned(),
        pointer: None,
        range,
        encoding: None,
        score: 1.0,
        threshold: None,
        confidence: Confidence::High,
        strength: None,
        action: Action::None,
        matched: matched(text),
    }
}

/// What the pass over a text saw in it.
#[derive(Default)]
pub(crate) struct Seen {
    hits: Vec<pii::Hit>,
    marks: Vec<(Range<usize>, Mark)>,
    cues: Vec<usize>,
}

impl Seen {
    /// Sees a whole text.
    fn of(side: &Side, text: &str) -> Self {
        let mut seen = Self::default();
        side.literals.scan(text.as_bytes(), |at, stands| seen.take(side, text, at, stands));
        seen
    }

    /// Takes in what stands at a place.
    #[inline]
    pub(crate) fn take(&mut self, side: &Side, text: &str, at: usize, stands: Stands<Mark>) {
        match stands {
            Stands::Shapes(bits) => {
                let before = self.hits.len();
                pii::shape_at(text, at, bits, &mut self.hits);
                if self.hits.len() > before {
                    keep(side, &mut self.hits, before);
                }
            }
            Stands::Word(_, Mark::Attack) => self.cues.push(at),
            Stands::Word(end, mark) => self.marks.push((at..end, mark)),
        }
    }

    /// Whether there is nothing in the text that was looked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.hits.is_empty() && self.marks.is_empty() && self.cues.is_empty()
    }
}

/// Keeps what is wanted of the hits that were added. Kinds that nobody asked for must not use up what may be found; beyond the limit the text
/// is blocked, so that no more is needed.
fn keep(side: &Side, hits: &mut Vec<pii::Hit>, before: usize) {
    hits.extract_if(before.., |hit| !side.pii.contains_key(&hit.kind)).for_each(drop);
    hits.truncate(FINDINGS_MAX + 1);
}

/// Everything that a text holds. With `decoding`, what is encoded in it too.
pub(crate) fn detect(side: &Side, text: &str, effort: Effort, decoding: bool) -> Detected {
    let mut normal = Normal::new(text);
    if !decoding {
        normal.said.clear();
    }
    let seen = Seen::of(side, &normal.text);
    judge(side, text, &normal, seen, effort, decoding)
}

/// Everything that a text holds in which this was seen, and in which something may be hidden or encoded, or is known not to be.
pub(crate) fn detect_seen(side: &Side, text: &str, seen: Seen, effort: Effort, [hidden, encoded]: [bool; 2]) -> Detected {
    if !hidden {
        return judge(side, text, &Normal::plain(text), seen, effort, encoded);
    }
    let normal = Normal::new(text);
    let seen = if matches!(normal.text, Cow::Borrowed(_)) { seen } else { Seen::of(side, &normal.text) };
    judge(side, text, &normal, seen, effort, encoded)
}

/// What becomes of what was seen.
fn judge(side: &Side, text: &str, normal: &Normal<'_>, seen: Seen, effort: Effort, encoded: bool) -> Detected {
    let Seen { hits, marks, cues } = seen;
    let mut collector = Collector { side, text: &normal.text, findings: Vec::new(), hits, cues, content: Vec::new() };
    let mut ran = Ran::default();
    ran.add(Stage::Patterns);
    collector.patterns(marks);
    if !side.expressions.is_empty() {
        let lap = effort.lap();
        collector.expressions();
        ran.since(Stage::Regexes, lap);
    }
    collector.content_filters();
    let lap = effort.lap();
    if let Some(stage) = collector.attacks(effort.heavy) {
        ran.since(stage, lap);
    }
    if effort.heavy && !side.topics.is_empty() {
        let lap = effort.lap();
        collector.topics();
        ran.since(Stage::Topics, lap);
    }
    let mut findings = collector.findings;
    for finding in &mut findings {
        finding.range = normal.original(&finding.range);
    }
    if let Some(action) = side.hidden_text {
        for hidden in &normal.hidden {
            let stands = text.get(hidden.range.clone()).unwrap_or_default();
            findings.push(Finding { action, ..found(Kind::HiddenText, hidden.kind.name(), hidden.range.clone(), stands) });
        }
    }
    for (range, says) in &normal.said {
        let piece = decode::Piece { range: range.clone(), encoding: Encoding::HiddenText, text: says.clone() };
        findings.extend(inside(side, text, &piece, effort));
    }
    let lap = effort.lap();
    let decoded = if encoded { decode::all(text) } else { Vec::new() };
    let any = !decoded.is_empty();
    for piece in decoded {
        findings.extend(inside(side, text, &piece, effort));
    }
    if any {
        ran.since(Stage::Decoded, lap);
    }
    Detected { findings, ran }
}

/// What is found in a decoded piece stands for the whole piece.
fn inside(side: &Side, text: &str, piece: &decode::Piece, effort: Effort) -> Vec<Finding> {
    // Whatever runs within it is of what is encoded.
    let mut inner = detect(side, &piece.text, Effort { clock: None, ..effort }, false).findings;
    for finding in &mut inner {
        finding.range = piece.range.clone();
        finding.encoding = Some(piece.encoding);
        finding.matched = matched(text.get(piece.range.clone()).unwrap_or_default());
    }
    inner.dedup_by(|a, b| a.kind == b.kind && a.name == b.name);
    inner
}

struct Collector<'a> {
    side: &'a Side,
    text: &'a str,
    findings: Vec<Finding>,
    hits: Vec<pii::Hit>,
    cues: Vec<usize>,
    content: Vec<(ContentFilterType, u8, Range<usize>)>,
}

impl Collector<'_> {
    fn at(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    fn is_whole_word(&self, range: &Range<usize>) -> bool {
        let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let before = self.text.get(..range.start).and_then(|text| text.chars().next_back());
        let after = self.text.get(range.end..).and_then(|text| text.chars().next());
        let (first, last) = (self.at(range).chars().next(), self.at(range).chars().next_back());
        let goes_on = |inner: Option<char>, outer: Option<char>| word(inner) && word(outer);
        !goes_on(first, before) && !goes_on(last, after)
    }

    /// What the pass over the text saw: words that stand for something, and what they lead to.
    fn patterns(&mut self, marks: Vec<(Range<usize>, Mark)>) {
        let side = self.side;
        let text = self.text;
        let mut hits = std::mem::take(&mut self.hits);
        // A web address within a web address is part of it.
        let mut address_end = 0;
        for (range, mark) in marks {
            if self.findings.len() > FINDINGS_MAX {
                break;
            }
            match mark {
                Mark::Cue(pii::Cue::Scheme) if range.start < address_end => {}
                Mark::Cue(cue) => {
                    let before = hits.len();
                    pii::cue_at(text, range, cue, &mut hits);
                    if cue == pii::Cue::Scheme {
                        address_end = hits.iter().skip(before).map(|hit| hit.range.end).max().unwrap_or(address_end);
                    }
                    keep(side, &mut hits, before);
                }
                Mark::Secret(index) => self.secret(range.start, index),
                Mark::Word(index) => self.word(range, index),
                Mark::Profanity(index) => self.profanity(range, index),
                Mark::Content(kind, weight) if self.is_whole_word(&range) => self.content.push((kind, weight, range)),
                Mark::Content(..) | Mark::Attack => {}
            }
        }
        if let Some((regex, words)) = &side.short_words {
            for captures in regex.captures_iter(text) {
                let hit =
                    words.iter().enumerate().find_map(|(place, &index)| captures.get(place + 1).map(|m| (m.range(), index)));
                if let Some((range, index)) = hit {
                    self.word(range, index);
                }
            }
        }
        for hit in hits {
            // A form that ends within a character was none.
            let Some(&action) = side.pii.get(&hit.kind) else { continue };
            if let Some(stands) = text.get(hit.range.clone()) {
                let finding = found(Kind::Pii(hit.kind), hit.kind.name(), hit.range, stands);
                let confidence = Confidence::of(hit.score);
                self.findings.push(Finding { score: hit.score, confidence, action, ..finding });
            }
        }
    }

    fn secret(&mut self, start: usize, index: usize) {
        let Some((form, action)) = secret::FORMS.get(index).zip(self.side.secrets) else { return };
        if let Some(range) = secret::at(self.text.as_bytes(), start, form)
            && self.text.is_char_boundary(range.end)
        {
            let finding = found(Kind::Secret, form.name, range.clone(), self.at(&range));
            self.findings.push(Finding { score: 0.99, action, ..finding });
        }
    }

    fn word(&mut self, range: Range<usize>, index: usize) {
        let side = self.side;
        if let Some((word, action)) = side.words.get(index)
            && self.is_whole_word(&range)
        {
            let finding = found(Kind::Word, word, range.clone(), self.at(&range));
            self.findings.push(Finding { action: *action, ..finding });
        }
    }

    fn profanity(&mut self, range: Range<usize>, index: usize) {
        if let Some((word, action)) = lexicon::PROFANITY.get(index).zip(self.side.profanity)
            && self.is_whole_word(&range)
        {
            let finding = found(Kind::ManagedWord, word, range.clone(), self.at(&range));
            self.findings.push(Finding { action, ..finding });
        }
    }

    fn expressions(&mut self) {
        let side = self.side;
        for expression in &side.expressions {
            for stands in expression.regex.find_iter(self.text).filter(|m| !m.is_empty()).take(FINDINGS_MAX + 1) {
                let finding = found(Kind::Regex, &expression.name, stands.range(), stands.as_str());
                self.findings.push(Finding { action: expression.action, ..finding });
            }
        }
    }

    /// One finding a category: its strongest phrase; several likely phrases make a certain finding.
    fn content_filters(&mut self) {
        let content = std::mem::take(&mut self.content);
        for (&kind, &(strength, action)) in &self.side.content {
            let Some((_, weight, range)) =
                content.iter().filter(|(other, ..)| *other == kind).max_by_key(|(_, weight, _)| *weight)
            else {
                continue;
            };
            let sum: u32 = content.iter().filter(|(other, ..)| *other == kind).map(|(_, weight, _)| u32::from(*weight)).sum();
            let score = match (weight, sum) {
                (3, _) | (2, 4..) => 0.95,
                (2, _) | (1, 3..) => 0.75,
                _ => 0.55,
            };
            let finding = found(Kind::Content(kind), kind.name(), range.clone(), self.at(range));
            self.findings.push(filtered(finding, score, strength, action));
        }
    }

    /// The attack classifier: everywhere, or around the words that tell.
    fn attacks(&mut self, heavy: bool) -> Option<Stage> {
        let &(strength, action) = self.side.content.get(&ContentFilterType::PromptAttack)?;
        let mut regions: Vec<Range<usize>> = Vec::new();
        if heavy {
            regions.push(0..self.text.len());
        } else {
            for &cue in &self.cues {
                let (start, end) = (floor(self.text, cue.saturating_sub(CUE_REACH)), floor(self.text, cue + CUE_REACH));
                match regions.last_mut() {
                    Some(last) if start <= last.end => last.end = last.end.max(end),
                    _ => regions.push(start..end),
                }
            }
        }
        if regions.is_empty() {
            return None;
        }
        for region in regions {
            for stretch in attack::stretches(self.at(&region), region.start, ATTACK_LEAST) {
                let attempt = attack::attempt(self.at(&stretch.range));
                let finding = found(Kind::Attack(attempt), attempt.name(), stretch.range.clone(), self.at(&stretch.range));
                self.findings.push(filtered(finding, stretch.score, strength, action));
            }
        }
        Some(if heavy { Stage::AttackEverywhere } else { Stage::AttackNearCues })
    }

    fn topics(&mut self) {
        let side = self.side;
        for (name, action, score, range) in side.topics.find(self.text) {
            let finding = found(Kind::Topic, name, range.clone(), self.at(&range));
            self.findings.push(Finding { score, confidence: Confidence::of(score), action, ..finding });
        }
    }
}

/// A finding of a filter: its action only if the score suffices for the strength.
fn filtered(finding: Finding, score: f32, strength: Strength, action: Action) -> Finding {
    let confidence = Confidence::of(score);
    let action = if confidence.suffices(strength) { action } else { Action::None };
    Finding { score, confidence, strength: Some(strength), action, ..finding }
}

/// The character that holds a byte, from its beginning.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Whether a finding claims its bytes for itself.
fn claims(finding: &Finding) -> bool {
    matches!(finding.kind, Kind::Pii(_) | Kind::Regex | Kind::Secret) && finding.encoding.is_none()
}

/// Of findings of sensitive information that overlap, the one with the stronger action stands; then the surer, then the longer.
pub(crate) fn stand(mut findings: Vec<Finding>) -> Vec<Finding> {
    let order = |finding: &Finding| (finding.range.start, finding.range.end);
    findings.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.name.cmp(&b.name)));
    findings.dedup_by(|a, b| a.kind == b.kind && a.range == b.range && a.name == b.name && a.encoding == b.encoding);
    let (mut claiming, mut others): (Vec<_>, Vec<_>) = findings.into_iter().partition(claims);
    claiming.sort_by(|a, b| {
        let rank = |f: &Finding| (f.action, f.score, f.range.len());
        rank(b).partial_cmp(&rank(a)).unwrap_or(std::cmp::Ordering::Equal).then_with(|| order(a).cmp(&order(b)))
    });
    let mut taken: std::collections::BTreeMap<usize, usize> = std::collections::BTreeMap::new();
    for finding in claiming {
        let before = taken.range(..finding.range.end).next_back();
        if before.is_none_or(|(_, &end)| end <= finding.range.start) {
            taken.insert(finding.range.start, finding.range.end);
            others.push(finding);
        } else if finding.action != Action::None
            && before.is_some_and(|(&start, &end)| finding.range.start < start || end < finding.range.end)
        {
            // What stands out of the claim of another must not pass unmasked.
            others.push(finding);
        }
    }
    others.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.name.cmp(&b.name)));
    others
}

/// What replaces a masked finding.
pub(crate) fn mask_of(finding: &Finding) -> String {
    match finding.kind {
        Kind::HiddenText => String::new(),
        _ => format!("{{{}}}", finding.name),
    }
}

/// The text with every masked finding replaced; none if nothing is masked. Findings that overlap share one mask: the first's.
pub(crate) fn mask(text: &str, findings: &[Finding]) -> Option<String> {
    let mut masked = findings.iter().filter(|finding| finding.action == Action::Anonymize).peekable();
    masked.peek()?;
    let (mut output, mut at) = (String::with_capacity(text.len()), 0);
    for finding in masked {
        if finding.range.start >= at {
            output.push_str(text.get(at..finding.range.start).unwrap_or_default());
            output.push_str(&mask_of(finding));
        }
        at = at.max(finding.range.end);
    }
    output.push_str(text.get(at..).unwrap_or_default());
    Some(output)
}

/// Kinds that only the words around explain need the name of the field that they stand in.
pub(crate) fn has_cues(side: &Side) -> bool {
    side.pii.keys().any(|kind| !matches!(kind, PiiType::Email | PiiType::Url | PiiType::IpAddress | PiiType::MacAddress))
}
