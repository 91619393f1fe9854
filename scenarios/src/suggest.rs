//! "Did you mean …?"

/// The candidate closest to `wrong`, if it is close enough to be a slip of the fingers: at most a
/// third of the letters differ, or one contains the other.
pub(crate) fn closest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (distance(wrong, candidate), candidate))
        .filter(|(distance, candidate)| {
            let contained = wrong.len() >= 3 && (candidate.contains(wrong) || wrong.contains(candidate));
            *distance <= wrong.chars().count().max(candidate.chars().count()) / 3 || contained
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let names = ["alpha-edge", "bravo-edge"];
        assert_eq!(closest("alhpa-edge", names), Some("alpha-edge"));
        assert_eq!(closest("bravo", names), Some("bravo-edge"));
        assert_eq!(closest("zulu", names), None);
    }
}
