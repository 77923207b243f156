//! The nearest known name to a misspelt one.

/// The name among `known` that takes the fewest edits from `word`; none where all are too far to be
/// what was meant (more than a third of the letters, at least two).
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A longer word is not a slip of the fingers, and the table below grows with its square.
    const LETTERS_MAX: usize = 64;
    let letters = word.chars().count();
    if letters > LETTERS_MAX {
        return None;
    }
    known
        .into_iter()
        .filter(|name| name.chars().count() <= LETTERS_MAX)
        .map(|name| (distance(&word.to_lowercase(), &name.to_lowercase()), name))
        .filter(|&(edits, name)| edits <= (letters.max(name.chars().count()) / 3).max(2) && edits < letters)
        .min_by_key(|&(edits, _)| edits)
        .map(|(_, name)| name)
}

/// The optimal string alignment distance: letters inserted, left out, replaced, or two neighbors
/// exchanged (Damerau 1964, without edits inside an exchanged pair).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut edits = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                edits = edits.min(rows[i - 2][j - 2] + 1);
            }
            row.push(edits);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_fingers_finds_the_name() {
        let keys = ["delay", "loss", "bottleneck", "link-arq"];
        assert_eq!(nearest("dealy", keys), Some("delay"));
        assert_eq!(nearest("bottelneck", keys), Some("bottleneck"));
        assert_eq!(nearest("LOSS", keys), Some("loss"));
        assert_eq!(nearest("link_arq", keys), Some("link-arq"));
    }

    #[test]
    fn what_is_like_nothing_finds_nothing() {
        assert_eq!(nearest("zebra", ["delay", "loss"]), None);
        assert_eq!(nearest("", ["a"]), None);
        assert_eq!(nearest(&"x".repeat(100_000), ["delay"]), None);
    }

    #[test]
    fn two_exchanged_letters_are_one_edit() {
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
