//! What a tracepoint's records look like, from its `format` file.

use std::collections::BTreeMap;

/// A format file that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// A tracepoint's number is missing.
    #[error("the format of tracepoint {event} has no ID")]
    NoId {
        /// Which.
        event: String,
    },
}

/// Where a field is in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    offset: usize,
    size: usize,
    /// The field is the place (offset and length) of a text at the record's end.
    text: bool,
}

/// One tracepoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) name: String,
    fields: BTreeMap<String, Place>,
}

impl Format {
    /// An unsigned number; 0 where the kernel has no such field.
    pub(super) fn number(&self, record: &[u8], field: &str) -> u64 {
        let Some(place) = self.fields.get(field) else { return 0 };
        let bytes = record.get(place.offset..place.offset + place.size.min(8)).unwrap_or_default();
        bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))
    }

    /// A text: a fixed array of characters, or one at the record's end.
    pub(super) fn text(&self, record: &[u8], field: &str) -> String {
        let Some(place) = self.fields.get(field) else { return String::new() };
        let (from, len) = match place.text {
            true => {
                let at = self.number(record, field);
                ((at & 0xffff) as usize, (at >> 16 & 0xffff) as usize)
            }
            false => (place.offset, place.size),
        };
        let bytes = record.get(from..from + len).unwrap_or_default();
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }
}

/// The tracepoints of a kernel, by the number that their records bear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Formats(BTreeMap<u16, Format>);

impl Formats {
    /// Adds a tracepoint: its name and the text of its `format` file.
    pub fn add(&mut self, event: &str, text: &str) -> Result<(), FormatError> {
        let id = text.lines().find_map(|l| l.strip_prefix("ID:")?.trim().parse().ok());
        let id: u16 = id.ok_or_else(|| FormatError::NoId { event: event.to_owned() })?;
        let fields = text.lines().filter_map(field).collect();
        self.0.insert(id, Format { name: event.to_owned(), fields });
        Ok(())
    }

    pub(super) fn get(&self, id: u16) -> Option<&Format> {
        self.0.get(&id)
    }
}

/// `field:char prev_comm[16]; offset:8; size:16; signed:0;`, with tabs between its parts.
fn field(line: &str) -> Option<(String, Place)> {
    let mut parts = line.trim().strip_prefix("field:")?.split(';').map(str::trim);
    let declaration = parts.next()?;
    let mut number = |key: &str| parts.next()?.strip_prefix(key)?.parse().ok();
    let (offset, size) = (number("offset:")?, number("size:")?);
    let name = declaration.rsplit([' ', '*']).next()?;
    let name = name.split('[').next()?;
    let text = declaration.starts_with("__data_loc");
    Some((name.to_owned(), Place { offset, size, text }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        let text = "name: x\nID: 300\nformat:\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n\
            \tfield:char comm[4];\toffset:8;\tsize:4;\tsigned:0;\n\tfield:__data_loc char[] line;\toffset:12;\tsize:4;\tsigned:0;\n";
        let mut formats = Formats::default();
        formats.add("x", text).unwrap();
        let format = formats.get(300).unwrap();
        let record = [0x2c, 1, 0, 0, 0, 0, 0, 0, b'a', b'b', 0, 0, 16, 0, 3, 0, b'h', b'i', 0];
        assert_eq!(format.number(&record, "common_type"), 300);
        assert_eq!((format.text(&record, "comm"), format.text(&record, "line")), ("ab".into(), "hi".into()));
        assert_eq!(format.number(&record, "none"), 0);
        // A record that is cut short has no fields there.
        assert_eq!((format.text(&record[..10], "line"), format.number(&[], "comm")), (String::new(), 0));
        assert!(formats.add("y", "name: y\n").is_err());
    }
}
