//! What a misspelt word may have meant.

/// ` (did you mean 'X'?)` for the candidate that is closest to `word`, if one is close; else nothing.
pub(crate) fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let limit = |c: &str| (c.len().max(word.len()) / 3).max(1);
    candidates
        .into_iter()
        .map(|c| (distance(word, c), c))
        .filter(|&(d, c)| d <= limit(c))
        .min_by_key(|&(d, _)| d)
        .map(|(_, c)| format!(" (did you mean '{c}'?)"))
        .unwrap_or_default()
}

/// Number of insertions, deletions, replacements and swaps of neighbours between two words (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let word = |s: &str| s.chars().take(64).collect::<Vec<char>>();
    let (a, b) = (word(a), word(b));
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut d = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                d = d.min(rows[i - 2][j - 2] + 1);
            }
            row.push(d);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints() {
        for (word, expect) in
            [("simpel", " (did you mean 'simple'?)"), ("evdf", " (did you mean 'eevdf'?)"), ("rusty", ""), ("", "")]
        {
            assert_eq!(hint(word, ["eevdf", "simple"]), expect, "{word}");
        }
    }
}
