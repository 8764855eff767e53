//! What a misspelt word may have meant.

/// ` (did you mean 'X'?)` for the candidate that is closest to `word`, if one is close.
pub fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    closest(word, candidates).map(|c| format!(" (did you mean '{c}'?)")).unwrap_or_default()
}

/// The candidate closest to `word`, if its distance is at most a third of its length.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = |c: &str| (c.len().max(word.len()) / 3).max(1);
    candidates
        .into_iter()
        .map(|c| (strsim::osa_distance(word, c), c))
        .filter(|&(d, c)| d <= limit(c))
        .min_by_key(|&(d, _)| d)
        .map(|(_, c)| c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses() {
        let words = ["spin", "pipe", "hackbench", "schbench", "mixed"];
        for (word, guess) in [
            ("hackbnech", Some("hackbench")),
            ("pip", Some("pipe")),
            ("schedbench", Some("schbench")),
            ("mixd", Some("mixed")),
            ("compile", None),
        ] {
            assert_eq!(closest(word, words), guess, "{word}");
        }
    }
}
