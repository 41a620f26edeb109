//! Texts that go-yaml reads and this parser does not, made such that it does, with every place as in the file.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use saphyr_parser::ScanError;

use super::start;
use crate::source::Position;

/// A text of which some lines were indented further: go-yaml lets a quoted text or a flow list go on at the
/// indentation of its key, where YAML's grammar and this parser do not. Tabs between a key and its value are spaces:
/// this parser refuses those alone before a letter.
pub(super) struct Repaired<'t> {
    file: &'t str,
    pub(super) text: Cow<'t, str>,
    /// Lines from 1 that have `PAD` more spaces than the file.
    padded: BTreeSet<usize>,
    tabs: Tabs,
    /// Repairs so far, and the bytes that were read for them.
    repairs: usize,
    reread_bytes: usize,
}

/// What became of the tabs behind colons.
enum Tabs {
    Kept,
    /// All of them are spaces.
    Spaces,
    /// Those in these places, in order, are in a text of the manifest, and are as in the file.
    SpacesBut(Vec<Range<Position>>),
}

/// Deeper than the key of any line that a manifest has.
const PAD: usize = 100;

/// Each repair parses the text again.
const REPAIRS_MAX: usize = 100;

/// Ends the repairs of a large text sooner: so much is parsed in a few seconds.
const REREAD_BYTES_MAX: usize = 32 << 20;

impl<'t> Repaired<'t> {
    pub(super) fn new(file: &'t str) -> Self {
        let (padded, tabs) = (BTreeSet::new(), Tabs::Kept);
        Repaired { file, text: Cow::Borrowed(file), padded, tabs, repairs: 0, reread_bytes: 0 }
    }

    /// The place in the file.
    pub(super) fn position(&self, line: usize, column: usize) -> Position {
        let added = if self.padded.contains(&line) { PAD } else { 0 };
        start(line, column.saturating_sub(added))
    }

    /// Mends what an error complains of; false where that would change what the text means.
    pub(super) fn repair(&mut self, error: &ScanError) -> bool {
        if self.repairs >= REPAIRS_MAX || self.reread_bytes >= REREAD_BYTES_MAX {
            return false;
        }
        let line = error.marker().line();
        match error.info() {
            "invalid indentation in quoted scalar" => self.pad(self.quoted_lines(error.marker().index())),
            "invalid indentation" if self.closes_flow(line) => self.pad(vec![line]),
            "':' must be followed by a valid YAML whitespace" if matches!(self.tabs, Tabs::Kept) => {
                self.tabs = Tabs::Spaces;
                self.rebuild();
                true
            }
            _ => false,
        }
    }

    /// Whether the places of quoted texts and blocks are wanted.
    pub(super) fn wants_texts(&self) -> bool {
        matches!(self.tabs, Tabs::Spaces)
    }

    /// Gives the texts at these places, in order, their tabs back; false where there are none.
    pub(super) fn restore(&mut self, texts: Vec<Range<Position>>) -> bool {
        if !self.wants_texts() || texts.is_empty() {
            return false;
        }
        self.tabs = Tabs::SpacesBut(texts);
        self.rebuild();
        true
    }

    fn pad(&mut self, lines: Vec<usize>) -> bool {
        let before = self.padded.len();
        self.padded.extend(lines);
        let grew = self.padded.len() > before;
        if grew {
            self.rebuild();
        }
        grew
    }

    fn rebuild(&mut self) {
        self.repairs += 1;
        self.reread_bytes += self.file.len();
        let mut text = String::with_capacity(self.file.len() + PAD * self.padded.len());
        for (index, line) in self.file.split_inclusive('\n').enumerate() {
            let number = index + 1;
            if self.padded.contains(&number) {
                text.extend(std::iter::repeat_n(' ', PAD));
            }
            if matches!(self.tabs, Tabs::Kept) || !line.contains(":\t") {
                text.push_str(line);
            } else {
                self.space(number, line, &mut text);
            }
        }
        self.text = Cow::Owned(text);
    }

    /// Puts spaces in the place of the tabs behind colons.
    fn space(&self, number: usize, line: &str, text: &mut String) {
        let mut before = '\0';
        for (column, c) in line.chars().enumerate() {
            let spaced = c == '\t' && before == ':' && !self.is_text(start(number, column));
            text.push(if spaced { ' ' } else { c });
            // A tab behind such a tab is another one.
            before = if c == '\t' && before == ':' { ':' } else { c };
        }
    }

    fn is_text(&self, at: Position) -> bool {
        let Tabs::SpacesBut(texts) = &self.tabs else { return false };
        let begun = texts.partition_point(|text| text.start <= at);
        begun > 0 && texts[begun - 1].contains(&at)
    }

    fn closes_flow(&self, line: usize) -> bool {
        let text = self.text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        text.trim_start().starts_with([']', '}'])
    }

    /// The lines on which the quoted text that begins at a character goes on. Indentation there is not content.
    fn quoted_lines(&self, index: usize) -> Vec<usize> {
        let mut rest = self.text.chars().skip(index);
        let Some(quote @ ('"' | '\'')) = rest.next() else { return Vec::new() };
        let mut line = self.text.chars().take(index).filter(|c| *c == '\n').count() + 1;
        let mut lines = Vec::new();
        let mut escaped = false;
        for c in rest {
            if c == '\n' {
                line += 1;
                lines.extend((!self.padded.contains(&line)).then_some(line));
            }
            if c == quote && !escaped {
                break;
            }
            escaped = quote == '"' && c == '\\' && !escaped;
        }
        lines
    }
}
