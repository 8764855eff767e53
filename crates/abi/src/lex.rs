//! Tokens of the table language: C declarations plus `@` annotations.
//!
//! `@6.15` (since), `@..7.1` (until, exclusive), `@6.15..7.1`, `@word`, `@word(a, b)`.

use crate::table::TableError;
use crate::version::{KernelVersion, Span};

/// One token. Text is borrowed from the table, which is compiled in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Token {
    /// Identifier or keyword.
    Ident(&'static str),
    /// Integer literal, suffixes dropped.
    Num(u64),
    /// A single punctuation character; `<<` is lexed as `'<'`.
    Punct(char),
    /// `@word`; its parenthesised list follows as ordinary tokens.
    Attr(&'static str),
    /// `@since..until`.
    Versions(Span),
    /// End of the table.
    End,
}

/// Splits one table into tokens.
pub(crate) struct Lexer {
    table: &'static str,
    text: &'static str,
    pos: usize,
}

impl Lexer {
    /// A lexer over `text`; `table` names it in errors.
    pub(crate) fn new(table: &'static str, text: &'static str) -> Self {
        Self { table, text, pos: 0 }
    }

    /// An error at the current position.
    pub(crate) fn error(&self, expected: &'static str) -> TableError {
        let line = self.text[..self.pos].bytes().filter(|&b| b == b'\n').count() + 1;
        TableError::Syntax { table: self.table, line, expected }
    }

    fn take_while(&mut self, keep: impl Fn(u8) -> bool) -> &'static str {
        let text = self.text;
        let start = self.pos;
        let bytes = text.as_bytes();
        while self.pos < bytes.len() && keep(bytes[self.pos]) {
            self.pos += 1;
        }
        &text[start..self.pos]
    }

    fn skip_blanks(&mut self) {
        loop {
            self.take_while(|b| b.is_ascii_whitespace());
            let rest = &self.text[self.pos..];
            if rest.starts_with("//") {
                self.take_while(|b| b != b'\n');
            } else if rest.starts_with("/*") {
                self.pos += rest.find("*/").map_or(rest.len(), |end| end + 2);
            } else {
                return;
            }
        }
    }

    /// The next token.
    pub(crate) fn next(&mut self) -> Result<Token, TableError> {
        self.skip_blanks();
        let Some(&first) = self.text.as_bytes().get(self.pos) else {
            return Ok(Token::End);
        };
        match first {
            b'0'..=b'9' => self.number().map(Token::Num),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => Ok(Token::Ident(self.take_while(is_word))),
            b'@' => {
                self.pos += 1;
                self.annotation()
            }
            _ => {
                self.pos += if self.text[self.pos..].starts_with("<<") { 2 } else { 1 };
                Ok(Token::Punct(first as char))
            }
        }
    }

    fn number(&mut self) -> Result<u64, TableError> {
        let text = self.take_while(is_word);
        let parsed = match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => text.parse(),
        };
        parsed.map_err(|_| self.error("an integer"))
    }

    fn annotation(&mut self) -> Result<Token, TableError> {
        let word = self.take_while(|b| is_word(b) || b == b'.');
        if word.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Ok(Token::Attr(word));
        }
        let (since, until) = word.split_once("..").unwrap_or((word, ""));
        let version = |text: &str| -> Result<Option<KernelVersion>, TableError> {
            if text.is_empty() {
                return Ok(None);
            }
            text.parse().map(Some).map_err(|_| self.error("a modelled kernel version"))
        };
        Ok(Token::Versions(Span { since: version(since)?.unwrap_or(KernelVersion::OLDEST), until: version(until)? }))
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
