//! JSON as rt-app reads it, with positions.
//!
//! rt-app's files are looser than JSON: comments (`/* … */`, `// …`), commas before a closing bracket, keys without a value (`"yield",`),
//! and objects in which a key is there several times, in an order that means something. So a document is kept as it was written: an object is a
//! list of members, and each value knows its line and column.

/// A place in a file; both from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pos {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// What is wrong, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    pub(crate) pos: Pos,
    pub(crate) why: String,
}

/// A member of an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    pub(crate) key: String,
    /// Of the key.
    pub(crate) pos: Pos,
    pub(crate) node: Node,
}

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) pos: Pos,
    pub(crate) value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    /// A number that is no 64-bit integer, as written.
    Number(String),
    String(String),
    Array(Vec<Node>),
    Object(Vec<Member>),
}

impl Value {
    /// What it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "an integer",
            Value::Number(_) => "a number that is not an integer",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        }
    }
}

/// Deepest nesting of objects and arrays.
const DEPTH_MAX: u32 = 32;

/// Reads a document.
pub(crate) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let mut p = Parser { rest: text.strip_prefix('\u{feff}').unwrap_or(text), pos: Pos { line: 1, column: 1 } };
    let node = p.node(0)?;
    p.space()?;
    match p.rest.chars().next() {
        None => Ok(node),
        Some(c) => Err(p.error(format!("'{c}' after the end of the document"))),
    }
}

struct Parser<'a> {
    rest: &'a str,
    pos: Pos,
}

impl<'a> Parser<'a> {
    fn error(&self, why: impl Into<String>) -> SyntaxError {
        SyntaxError { pos: self.pos, why: why.into() }
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        match c {
            '\n' => {
                self.pos.line += 1;
                self.pos.column = 1;
            }
            _ => self.pos.column += 1,
        }
        Some(c)
    }

    fn skip(&mut self, n: usize) {
        for _ in 0..n {
            self.bump();
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// Goes past white space and comments.
    fn space(&mut self) -> Result<(), SyntaxError> {
        loop {
            match self.peek() {
                Some(c) if c.is_whitespace() => self.skip(1),
                Some('/') if self.rest.starts_with("//") => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.skip(1);
                    }
                }
                Some('/') if self.rest.starts_with("/*") => {
                    let open = self.error("this comment has no end; write */");
                    self.skip(2);
                    while !self.rest.starts_with("*/") {
                        if self.bump().is_none() {
                            return Err(open);
                        }
                    }
                    self.skip(2);
                }
                _ => return Ok(()),
            }
        }
    }

    fn node(&mut self, depth: u32) -> Result<Node, SyntaxError> {
        self.space()?;
        let pos = self.pos;
        if depth > DEPTH_MAX {
            return Err(self.error("objects are nested too deeply"));
        }
        let value = match self.peek() {
            None => return Err(self.error("the file ends where a value was expected")),
            Some('{') => Value::Object(self.object(depth)?),
            Some('[') => Value::Array(self.array(depth)?),
            Some('"') => Value::String(self.string()?),
            Some(c) if c == '-' || c.is_ascii_digit() => self.number(),
            Some(c) => self.word(c)?,
        };
        Ok(Node { pos, value })
    }

    /// After a member or element: is there another?
    fn another(&mut self, close: char) -> Result<bool, SyntaxError> {
        self.space()?;
        match self.peek() {
            Some(',') => {
                self.skip(1);
                self.space()?;
                Ok(self.peek() != Some(close))
            }
            Some(c) if c == close => Ok(false),
            Some(c) => Err(self.error(format!("expected ',' or '{close}', found '{c}'"))),
            None => Err(self.error(format!("the file ends where ',' or '{close}' was expected"))),
        }
    }

    fn object(&mut self, depth: u32) -> Result<Vec<Member>, SyntaxError> {
        self.skip(1);
        let mut members = Vec::new();
        self.space()?;
        let mut more = self.peek() != Some('}');
        while more {
            let pos = self.pos;
            let key = match self.peek() {
                Some('"') => self.string()?,
                Some(c) => return Err(self.error(format!("expected a key in quotes, found '{c}'"))),
                None => return Err(self.error("the file ends inside of an object")),
            };
            let node = self.member_value(&key, pos, depth)?;
            members.push(Member { key, pos, node });
            more = self.another('}')?;
        }
        self.skip(1);
        Ok(members)
    }

    /// After a key: its value, which may be left out.
    fn member_value(&mut self, key: &str, pos: Pos, depth: u32) -> Result<Node, SyntaxError> {
        self.space()?;
        match self.peek() {
            Some(':') => {
                self.skip(1);
                self.node(depth + 1)
            }
            Some(',' | '}') => Ok(Node { pos, value: Value::Null }),
            _ => Err(self.error(format!("expected ':' after the key \"{key}\""))),
        }
    }

    fn array(&mut self, depth: u32) -> Result<Vec<Node>, SyntaxError> {
        self.skip(1);
        let mut nodes = Vec::new();
        self.space()?;
        let mut more = self.peek() != Some(']');
        while more {
            nodes.push(self.node(depth + 1)?);
            more = self.another(']')?;
        }
        self.skip(1);
        Ok(nodes)
    }

    fn number(&mut self) -> Value {
        let in_number = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.');
        let length = self.rest.find(|c| !in_number(c)).unwrap_or(self.rest.len());
        let text = &self.rest[..length];
        self.skip(length);
        match text.parse() {
            Ok(n) => Value::Int(n),
            Err(_) => Value::Number(text.into()),
        }
    }

    /// `true`, `false`, `null`, in any case as json-c takes them.
    fn word(&mut self, first: char) -> Result<Value, SyntaxError> {
        let length = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let value = match self.rest[..length].to_ascii_lowercase().as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            "" => return Err(self.error(format!("expected a value, found '{first}'"))),
            word => {
                let why = format!("'{word}' is no value; a string needs quotes");
                return Err(self.error(why));
            }
        };
        self.skip(length);
        Ok(value)
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        let open = self.error("this string has no end");
        self.skip(1);
        let mut out = String::new();
        loop {
            let at = self.error("");
            match self.bump() {
                None | Some('\n') => return Err(open),
                Some('"') => return Ok(out),
                Some('\\') => out.push(self.escape(at.pos)?),
                Some(c) => out.push(c),
            }
        }
    }

    fn escape(&mut self, pos: Pos) -> Result<char, SyntaxError> {
        let fail = |why: &str| SyntaxError { pos, why: why.into() };
        Ok(match self.bump() {
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let unit = self.hex4().ok_or_else(|| fail("\\u needs four hexadecimal digits"))?;
                let low = match (0xd800..0xdc00).contains(&unit) && self.rest.starts_with("\\u") {
                    true => {
                        self.skip(2);
                        self.hex4()
                    }
                    false => None,
                };
                let units = [unit as u16, low.unwrap_or(0) as u16];
                let units = &units[..1 + usize::from(low.is_some())];
                let mut chars = char::decode_utf16(units.iter().copied());
                match (chars.next(), chars.next()) {
                    (Some(Ok(c)), None) => c,
                    _ => return Err(fail("this is half of a character")),
                }
            }
            _ => return Err(fail("there is no such escape sequence")),
        })
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.rest.get(..4)?;
        let unit = u32::from_str_radix(digits, 16).ok()?;
        self.skip(4);
        Some(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The document in one line, members in order.
    fn show(node: &Node) -> String {
        match &node.value {
            Value::Null => "null".into(),
            Value::Bool(b) => b.to_string(),
            Value::Int(n) => n.to_string(),
            Value::Number(n) => format!("~{n}"),
            Value::String(s) => format!("{s:?}"),
            Value::Array(a) => format!("[{}]", a.iter().map(show).collect::<Vec<_>>().join(",")),
            Value::Object(o) => {
                let one = |m: &Member| format!("{}:{}", m.key, show(&m.node));
                format!("{{{}}}", o.iter().map(one).collect::<Vec<_>>().join(","))
            }
        }
    }

    #[test]
    fn documents() {
        for (text, expect) in [
            ("{}", "{}"),
            (" [1, -2 ,] ", "[1,-2]"),
            ("{\"run\":1,\"run\":2,\"sleep\":3,}", "{run:1,run:2,sleep:3}"),
            ("/* a\n * b */ { // c\n \"k\" : true /**/ }", "{k:true}"),
            ("[1.5, 1e3, 99999999999999999999, 08]", "[~1.5,~1e3,~99999999999999999999,8]"),
            ("[True, FALSE, null]", "[true,false,null]"),
            ("{\"a\", \"b\"}", "{a:null,b:null}"),
            (r#"["a\"\\\/\n\u00e9\ud83d\ude00"]"#, "[\"a\\\"\\\\/\\né😀\"]"),
        ] {
            assert_eq!(parse(text).map(|n| show(&n)), Ok(expect.to_string()), "{text}");
        }
    }

    #[test]
    fn errors_say_where() {
        for (text, line, column, why) in [
            ("", 1, 1, "file ends"),
            ("{", 1, 2, "file ends"),
            ("{\n  run: 1}", 2, 3, "key in quotes"),
            ("{\"a\" 1}", 1, 6, "expected ':' after the key \"a\""),
            ("{\"a\": 1 \"b\": 2}", 1, 9, "expected ',' or '}', found '\"'"),
            ("{\"a\": yes}", 1, 7, "needs quotes"),
            ("[1] 2", 1, 5, "after the end"),
            ("{\"a\": \"b\n\"}", 1, 7, "no end"),
            ("[\n /* x", 2, 2, "comment has no end"),
            ("[\"\\q\"]", 1, 3, "escape"),
            ("[\"\\ud800x\"]", 1, 3, "half of a character"),
        ] {
            let e = parse(text).unwrap_err();
            assert_eq!((e.pos.line, e.pos.column), (line, column), "{text}: {e:?}");
            assert!(e.why.contains(why), "{text}: {e:?}");
        }
        let deep = "[".repeat(100_000);
        assert!(parse(&deep).unwrap_err().why.contains("too deeply"));
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "[\\[\\]{}:,\"/*\\\\0-9a-fu \n-]{0,60}") {
            let _ = parse(&text);
        }
    }
}
