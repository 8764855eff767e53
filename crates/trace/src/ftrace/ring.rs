//! The pages of a kernel's trace buffer (`trace_pipe_raw`), as its `events/header_page` and `header_event` describe them.

/// Bytes of a page's header: its time, and how much of it is used.
const HEADER: usize = 16;
/// Records were lost before this page.
const MISSED: u64 = 1 << 31;
/// How many were lost stands at the page's end.
const MISSED_STORED: u64 = 1 << 30;

/// Types of records that are no events.
const PADDING: u32 = 29;
const TIME_EXTEND: u32 = 30;
const TIME_STAMP: u32 = 31;

/// Gives each record of a page with its time to `on`; whether records were lost before it. What is beyond a page's end
/// or makes no sense ends the page.
pub(super) fn records(page: &[u8], on: &mut dyn FnMut(u64, &[u8])) -> bool {
    let Some(header) = page.get(..HEADER) else { return false };
    let (mut now, commit) = (word64(header), word64(&header[8..]));
    let used = (commit & !(MISSED | MISSED_STORED)) as usize & 0xf_ffff;
    let end = (HEADER + used).min(page.len());
    let mut at = HEADER;
    while let Some(head) = page.get(at..at + 4).filter(|_| at + 4 <= end).map(word32) {
        let (kind, delta) = (head & 31, u64::from(head >> 5));
        let next = page.get(at + 4..at + 8).map(word32);
        match (kind, next) {
            (PADDING, _) if delta == 0 => break,
            (PADDING, Some(length)) => {
                now += delta;
                at += 4 + length as usize;
            }
            (TIME_EXTEND, Some(high)) => {
                now += (u64::from(high) << 27) + delta;
                at += 8;
            }
            (TIME_STAMP, Some(high)) => {
                // The five highest bits do not fit; they are those of the time before.
                now = (now & (31 << 59)) | (u64::from(high) << 27) | delta;
                at += 8;
            }
            (0, Some(length)) if length >= 4 => {
                now += delta;
                let Some(record) = page.get(at + 8..(at + 4 + length as usize).min(end)) else { break };
                on(now, record);
                at += 4 + (length as usize).next_multiple_of(4);
            }
            (1..PADDING, _) => {
                now += delta;
                let length = 4 * kind as usize;
                let Some(record) = page.get(at + 4..(at + 4 + length).min(end)) else { break };
                on(now, record);
                at += 4 + length;
            }
            _ => break,
        }
    }
    commit & MISSED != 0
}

fn word64(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |n, b| n << 8 | u64::from(*b))
}

fn word32(bytes: &[u8]) -> u32 {
    word64(&bytes[..4]) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(commit_flags: u64, words: &[u32]) -> Vec<u8> {
        let mut out = 1000u64.to_le_bytes().to_vec();
        out.extend(((words.len() as u64 * 4) | commit_flags).to_le_bytes());
        words.iter().for_each(|w| out.extend(w.to_le_bytes()));
        out.resize(4096, 0xee);
        out
    }

    fn check(page: &[u8], expect: &[(u64, Vec<u8>)]) -> bool {
        let mut found = Vec::new();
        let lost = records(page, &mut |t, r| found.push((t, r.to_vec())));
        assert_eq!(found, expect);
        lost
    }

    #[test]
    fn records_have_times() {
        let head = |kind: u32, delta: u32| kind | delta << 5;
        let words = [
            head(1, 5),
            0x0403_0201,
            head(TIME_EXTEND, 3),
            1,
            head(0, 2),
            8,
            0xaabb_ccdd,
            head(PADDING, 7),
            8,
            0,
            head(2, 1),
            1,
            2,
        ];
        let extended = 1005 + (1 << 27) + 3;
        let expect = [
            (1005, vec![1, 2, 3, 4]),
            (extended + 2, vec![0xdd, 0xcc, 0xbb, 0xaa]),
            (extended + 10, vec![1, 0, 0, 0, 2, 0, 0, 0]),
        ];
        assert!(!check(&page(0, &words), &expect));
        assert!(check(&page(MISSED, &[]), &[]));
    }

    #[test]
    fn broken_pages_end_and_do_not_panic() {
        for words in
            [vec![0], vec![0, 3], vec![0, u32::MAX], vec![28], vec![29 | 32, u32::MAX], vec![30], vec![31 | 32]]
        {
            records(&page(0, &words), &mut |_, _| {});
        }
        records(&[], &mut |_, _| {});
        let full = vec![0xff; 4096];
        records(&full, &mut |_, _| {});
    }
}
