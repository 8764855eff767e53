//! The table language: what the files in `tables/` may say, and its parser.
//!
//! A table is a C header with annotations. Items are `struct`, `union`, `enum`, `typedef`, function prototypes and
//! `extern` per-CPU variables; each item, member and enumerator may carry the releases that have it and attributes
//! (see [`Notes`]). The order of members is the kernel's; entries of other releases are simply left out, so one text
//! describes every version.

use thiserror::Error;

use crate::lex::{Lexer, Token};
use crate::version::Span;

/// A defect of a table. Tables are compiled in and every version is built by a test, so users never see one.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TableError {
    /// The text does not parse.
    #[error("{table}:{line}: expected {expected}")]
    Syntax {
        /// File name of the table.
        table: &'static str,
        /// Line, from 1.
        line: usize,
        /// What would have been legal.
        expected: &'static str,
    },
    /// A typedef name is used and nowhere defined.
    #[error("no typedef `{name}`")]
    UnknownTypedef {
        /// The name.
        name: &'static str,
    },
    /// Two live definitions of one name.
    #[error("`{name}` is defined twice for one kernel version")]
    Duplicate {
        /// The name.
        name: &'static str,
    },
    /// A member has a type whose size is unknown.
    #[error("member `{member}` of `{owner}` has an incomplete type")]
    Incomplete {
        /// Type that holds the member.
        owner: &'static str,
        /// The member.
        member: &'static str,
    },
    /// A type contains itself.
    #[error("type `{name}` contains itself")]
    Recursive {
        /// The type.
        name: &'static str,
    },
    /// An attribute names a group that does not exist.
    #[error("unknown kfunc group `{name}`")]
    UnknownGroup {
        /// The group.
        name: &'static str,
    },
}

/// Which keyword introduced a tagged type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tag {
    /// `struct`
    Struct,
    /// `union`
    Union,
    /// `enum`
    Enum,
}

/// A type as written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expr {
    /// `void`
    Void,
    /// A basic integer, by its name in kernel BTF, e.g. `long unsigned int`.
    Int(&'static str),
    /// A typedef name.
    Name(&'static str),
    /// `struct x`, `union x`, `enum x`.
    Tagged(Tag, &'static str),
    /// A nameless struct or union.
    Inline(Tag, Vec<Decl>),
    /// Pointer.
    Ptr(Box<Expr>),
    /// `const`
    Const(Box<Expr>),
    /// Array; length 0 is a flexible array.
    Array(Box<Expr>, u32),
    /// Function type.
    Func(Box<Expr>, Vec<Decl>),
}

/// What annotations said about an entry.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Notes {
    /// Releases that have the entry.
    pub(crate) span: Span,
    /// `@align(n)`: alignment in bytes beyond the natural one.
    pub(crate) align: u32,
    /// `@word` and `@word(a, b)`, with their arguments.
    pub(crate) attrs: Vec<(&'static str, Vec<&'static str>)>,
}

impl Notes {
    /// Whether `@word` was given.
    pub(crate) fn has(&self, word: &str) -> bool {
        self.attrs.iter().any(|(name, _)| *name == word)
    }

    /// Arguments of `@word(...)`, none if it was not given.
    pub(crate) fn args(&self, word: &str) -> &[&'static str] {
        self.attrs.iter().find(|(name, _)| *name == word).map_or(&[], |(_, args)| args)
    }
}

/// A named thing with a type: member, parameter, typedef, function or variable. Parameters and anonymous members may
/// have an empty name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Decl {
    /// Name, or empty.
    pub(crate) name: &'static str,
    /// Type.
    pub(crate) ty: Expr,
    /// Annotations.
    pub(crate) notes: Notes,
}

/// One enumerator. Values are kept as 128-bit so that both signed and unsigned 64-bit values fit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EnumItem {
    /// Name.
    pub(crate) name: &'static str,
    /// Value.
    pub(crate) value: i128,
    /// Releases that have it.
    pub(crate) span: Span,
}

/// A top-level entry of a table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    /// Definition of a struct or union.
    Composite { tag: Tag, name: &'static str, members: Vec<Decl>, notes: Notes },
    /// Definition of an enum.
    Enum { name: &'static str, items: Vec<EnumItem>, notes: Notes },
    /// `typedef T name;`
    Typedef(Decl),
    /// Prototype.
    Func(Decl),
    /// `extern T name;`: a per-CPU variable.
    Var(Decl),
}

/// Parses one table.
pub(crate) fn parse(table: &'static str, text: &'static str) -> Result<Vec<Item>, TableError> {
    let mut lexer = Lexer::new(table, text);
    let tok = lexer.next()?;
    let mut parser = Parser { lexer, tok };
    let mut items = Vec::new();
    while parser.tok != Token::End {
        items.push(parser.item()?);
    }
    Ok(items)
}

struct Parser {
    lexer: Lexer,
    tok: Token,
}

type Parsed<T> = Result<T, TableError>;

impl Parser {
    fn advance(&mut self) -> Parsed<Token> {
        let next = self.lexer.next()?;
        Ok(std::mem::replace(&mut self.tok, next))
    }

    fn eat(&mut self, want: char) -> Parsed<bool> {
        let found = self.tok == Token::Punct(want);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn eat_word(&mut self, want: &str) -> Parsed<bool> {
        let found = matches!(self.tok, Token::Ident(word) if word == want);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect(&mut self, want: char, expected: &'static str) -> Parsed<()> {
        if self.eat(want)? { Ok(()) } else { Err(self.lexer.error(expected)) }
    }

    fn ident(&mut self) -> Parsed<&'static str> {
        match self.advance()? {
            Token::Ident(word) => Ok(word),
            _ => Err(self.lexer.error("a name")),
        }
    }

    fn item(&mut self) -> Parsed<Item> {
        if self.eat_word("typedef")? {
            return Ok(Item::Typedef(self.decl_end()?));
        }
        if self.eat_word("extern")? {
            return Ok(Item::Var(self.decl_end()?));
        }
        if let Some(tag) = self.tag()? {
            let name = self.ident()?;
            if self.tok == Token::Punct('{') {
                return self.definition(tag, name);
            }
            return self.function(Expr::Tagged(tag, name));
        }
        let base = self.base()?;
        self.function(base)
    }

    fn function(&mut self, base: Expr) -> Parsed<Item> {
        let decl = self.declarator_with_notes(base)?;
        self.expect(';', "`;` after a prototype")?;
        match decl.ty {
            Expr::Func(..) => Ok(Item::Func(decl)),
            _ => Err(self.lexer.error("a function prototype")),
        }
    }

    fn definition(&mut self, tag: Tag, name: &'static str) -> Parsed<Item> {
        if tag == Tag::Enum {
            let items = self.enumerators()?;
            let notes = self.notes()?;
            self.expect(';', "`;` after an enum")?;
            return Ok(Item::Enum { name, items, notes });
        }
        let members = self.members()?;
        let notes = self.notes()?;
        self.expect(';', "`;` after a definition")?;
        Ok(Item::Composite { tag, name, members, notes })
    }

    fn members(&mut self) -> Parsed<Vec<Decl>> {
        self.expect('{', "`{`")?;
        let mut members = Vec::new();
        while !self.eat('}')? {
            members.push(self.decl_end()?);
        }
        Ok(members)
    }

    fn enumerators(&mut self) -> Parsed<Vec<EnumItem>> {
        self.expect('{', "`{`")?;
        let mut items = Vec::new();
        while !self.eat('}')? {
            let name = self.ident()?;
            self.expect('=', "`=` and a value")?;
            let value = self.value()?;
            let span = self.notes()?.span;
            items.push(EnumItem { name, value, span });
            if !self.eat(',')? && self.tok != Token::Punct('}') {
                return Err(self.lexer.error("`,` or `}`"));
            }
        }
        Ok(items)
    }

    /// `N`, `-N` or `N << M`.
    fn value(&mut self) -> Parsed<i128> {
        let negative = self.eat('-')?;
        let Token::Num(number) = self.advance()? else {
            return Err(self.lexer.error("an integer"));
        };
        let mut value = i128::from(number);
        if self.eat('<')? {
            let Token::Num(shift) = self.advance()? else {
                return Err(self.lexer.error("a shift"));
            };
            value <<= shift;
        }
        Ok(if negative { -value } else { value })
    }

    fn tag(&mut self) -> Parsed<Option<Tag>> {
        let tag = match self.tok {
            Token::Ident("struct") => Tag::Struct,
            Token::Ident("union") => Tag::Union,
            Token::Ident("enum") => Tag::Enum,
            _ => return Ok(None),
        };
        self.advance()?;
        Ok(Some(tag))
    }

    fn decl_end(&mut self) -> Parsed<Decl> {
        let base = self.base()?;
        let decl = self.declarator_with_notes(base)?;
        self.expect(';', "`;`")?;
        Ok(decl)
    }

    fn base(&mut self) -> Parsed<Expr> {
        if self.eat_word("const")? {
            return Ok(Expr::Const(Box::new(self.base()?)));
        }
        if let Some(tag) = self.tag()? {
            if self.tok == Token::Punct('{') {
                return Ok(Expr::Inline(tag, self.members()?));
            }
            return Ok(Expr::Tagged(tag, self.ident()?));
        }
        let word = self.ident()?;
        if word == "void" {
            return Ok(Expr::Void);
        }
        if !is_int_word(word) {
            return Ok(Expr::Name(word));
        }
        self.int(word)
    }

    /// Collects `unsigned long long` and the like, in any order, into the name that compilers give it in BTF.
    fn int(&mut self, first: &'static str) -> Parsed<Expr> {
        let (mut unsigned, mut signed, mut longs, mut core) = (false, false, 0, "int");
        let mut word = first;
        loop {
            match word {
                "unsigned" => unsigned = true,
                "signed" => signed = true,
                "long" => longs += 1,
                "int" => {}
                other => core = other,
            }
            match self.tok {
                Token::Ident(next) if is_int_word(next) => word = next,
                _ => break,
            }
            self.advance()?;
        }
        let name = match (core, longs, unsigned) {
            ("_Bool", ..) => "_Bool",
            ("char", _, true) => "unsigned char",
            ("char", ..) if signed => "signed char",
            ("char", ..) => "char",
            ("short", _, true) => "short unsigned int",
            ("short", ..) => "short int",
            (_, 0, true) => "unsigned int",
            (_, 0, false) => "int",
            (_, 1, true) => "long unsigned int",
            (_, 1, false) => "long int",
            (_, _, true) => "long long unsigned int",
            (_, _, false) => "long long int",
        };
        Ok(Expr::Int(name))
    }

    fn declarator_with_notes(&mut self, base: Expr) -> Parsed<Decl> {
        let (name, ty) = self.declarator(base)?;
        let notes = self.notes()?;
        Ok(Decl { name, ty, notes })
    }

    fn declarator(&mut self, base: Expr) -> Parsed<(&'static str, Expr)> {
        let mut ty = base;
        while self.eat('*')? {
            ty = Expr::Ptr(Box::new(ty));
            if self.eat_word("const")? {
                ty = Expr::Const(Box::new(ty));
            }
        }
        if self.eat('(')? {
            self.expect('*', "`(*name)`")?;
            let name = if let Token::Ident(word) = self.tok {
                self.advance()?;
                word
            } else {
                ""
            };
            self.expect(')', "`)`")?;
            let params = self.params()?;
            return Ok((name, Expr::Ptr(Box::new(Expr::Func(Box::new(ty), params)))));
        }
        let name = if let Token::Ident(word) = self.tok {
            self.advance()?;
            word
        } else {
            ""
        };
        if self.tok == Token::Punct('(') {
            let params = self.params()?;
            return Ok((name, Expr::Func(Box::new(ty), params)));
        }
        Ok((name, self.arrays(ty)?))
    }

    fn arrays(&mut self, ty: Expr) -> Parsed<Expr> {
        let mut lens = Vec::new();
        while self.eat('[')? {
            let len = if let Token::Num(len) = self.tok {
                self.advance()?;
                u32::try_from(len).map_err(|_| self.lexer.error("a 32-bit length"))?
            } else {
                0
            };
            self.expect(']', "`]`")?;
            lens.push(len);
        }
        Ok(lens.into_iter().rev().fold(ty, |elem, len| Expr::Array(Box::new(elem), len)))
    }

    fn params(&mut self) -> Parsed<Vec<Decl>> {
        self.expect('(', "`(`")?;
        let mut params = Vec::new();
        while !self.eat(')')? {
            let base = self.base()?;
            let decl = self.declarator_with_notes(base)?;
            if decl.ty != Expr::Void {
                params.push(decl);
            }
            if !self.eat(',')? && self.tok != Token::Punct(')') {
                return Err(self.lexer.error("`,` or `)`"));
            }
        }
        Ok(params)
    }

    fn notes(&mut self) -> Parsed<Notes> {
        let mut notes = Notes { span: Span::ALWAYS, align: 1, attrs: Vec::new() };
        loop {
            match self.tok {
                Token::Versions(span) => {
                    self.advance()?;
                    notes.span = span;
                }
                Token::Attr("align") => {
                    self.advance()?;
                    self.expect('(', "`(`")?;
                    let Token::Num(bytes) = self.advance()? else {
                        return Err(self.lexer.error("an alignment"));
                    };
                    notes.align = u32::try_from(bytes).map_err(|_| self.lexer.error("a 32-bit alignment"))?;
                    self.expect(')', "`)`")?;
                }
                Token::Attr(word) => {
                    self.advance()?;
                    let args = self.attr_args()?;
                    notes.attrs.push((word, args));
                }
                _ => return Ok(notes),
            }
        }
    }

    fn attr_args(&mut self) -> Parsed<Vec<&'static str>> {
        let mut args = Vec::new();
        if self.eat('(')? {
            while !self.eat(')')? {
                args.push(self.ident()?);
                self.eat(',')?;
            }
        }
        Ok(args)
    }
}

fn is_int_word(word: &str) -> bool {
    matches!(word, "unsigned" | "signed" | "long" | "short" | "int" | "char" | "_Bool")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TypeTable;
    use crate::version::KernelVersion;

    /// Defines every item of `text` in 7.2 and lays it out.
    fn build(text: &'static str) -> Result<TypeTable, TableError> {
        let mut types = TypeTable::new(KernelVersion::NEWEST);
        for item in parse("t.h", text)? {
            types.define(&item)?;
        }
        types.check_typedefs()?;
        types.lay_out()?;
        Ok(types)
    }

    #[test]
    fn defects_are_found_with_their_line() {
        for (text, expect) in [
            ("struct a { int x };", "t.h:1: expected `;`"),
            ("struct a {\n\tint x;\n}\nint", "t.h:4: expected `;` after a definition"),
            ("enum e { A };", "t.h:1: expected `=` and a value"),
            ("struct a { int x @5.1; };", "t.h:1: expected a modelled kernel version"),
            ("struct a { nosuch_t x; };", "no typedef `nosuch_t`"),
            ("struct a { int x; }; struct a { int y; };", "`a` is defined twice for one kernel version"),
            ("int f(void); int f(int x);", "`f` is defined twice for one kernel version"),
            ("struct a { struct b x; };", "member `x` of `a` has an incomplete type"),
            ("struct a { struct a x; };", "type `a` contains itself"),
        ] {
            let found = build(text).err().map(|defect| defect.to_string());
            assert_eq!(found.as_deref(), Some(expect), "{text}");
        }
    }

    #[test]
    fn entries_of_other_versions_are_left_out() {
        let types = build("struct a { int x @..7.1; long y @7.1; char z[3]; } @6.13; struct b { int x; } @..7.0;");
        let types = types.expect("a good table");
        let a = types.composite_id("a").expect("a");
        assert_eq!(types.size_of(a), Some(16));
        assert_eq!(types.field(a, "z").map(|field| (field.offset, field.size)), Some((8, 3)));
        assert!(types.field(a, "x").is_none() && types.composite_id("b").is_none());
    }

    #[test]
    fn declarators_nest_as_in_c() {
        let types =
            build("struct s { const char *const *(*f)(int, void *p); int m[2][3]; union { int i; long l; }; };");
        let types = types.expect("a good table");
        let s = types.composite_id("s").expect("s");
        let name = |path| types.field(s, path).map(|field| types.c_name(field.ty));
        assert_eq!(name("f").as_deref(), Some("const char *const * (*)(int, void *)"));
        assert_eq!(types.field(s, "m[1]").map(|field| (field.offset, field.size)), Some((20, 12)));
        assert_eq!(types.field(s, "l").map(|field| field.offset), types.field(s, "i").map(|field| field.offset));
    }
}
