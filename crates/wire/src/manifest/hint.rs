//! "Did you mean": the nearest of a few known words.

/// Longer words are not compared: nobody mistypes a word of that length as one of ours.
const LONGEST: usize = 40;

/// The known word that `word` was most likely meant to be.
pub(super) fn nearest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    if word.len() > LONGEST {
        return None;
    }
    let bare_word = bare(word);
    known
        .iter()
        .filter_map(|&candidate| {
            let bare_candidate = bare(candidate);
            if bare_candidate == bare_word {
                return Some((0, candidate));
            }
            // Short words are near to everything: one letter in four may be wrong.
            let most = (bare_candidate.len() / 4).clamp(1, 3);
            // Manifests are read often, and to compare is dear: known words are ASCII, and no edit
            // makes up for more than one letter.
            if bare_word.chars().count().abs_diff(bare_candidate.len()) > most {
                return None;
            }
            let distance = distance(&bare_word, &bare_candidate);
            (distance <= most).then_some((distance, candidate))
        })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// Whether a reader that ignores case, as Go's does, takes the two for one.
pub(super) fn same_but_for_case(a: &str, b: &str) -> bool {
    let fold = |word: &str| -> String {
        // There and back: `ſ` and the Kelvin sign fold to `s` and `k` for such a reader.
        let upper: String = word.chars().flat_map(char::to_uppercase).collect();
        upper.chars().flat_map(char::to_lowercase).collect()
    };
    fold(a) == fold(b)
}

/// `eventsConsumed`, `events-consumed` and `Events_Consumed` are one word.
fn bare(word: &str) -> String {
    word.chars()
        .filter(|c| !matches!(c, '_' | '-' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Edits from one word to the other, two swapped neighbours counting as one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let changed = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1)
                .min(rows[i][j - 1] + 1)
                .min(rows[i - 1][j - 1] + changed);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_a_stranger_finds_none() {
        let known = ["command", "args", "events_consumed", "id", "version"];
        for (word, expected) in [
            ("COMMAND", Some("command")),
            ("comand", Some("command")),
            ("eventsConsumed", Some("events_consumed")),
            ("event_consumed", Some("events_consumed")),
            ("vresion", Some("version")),
            ("arg", Some("args")),
            ("$schema", None),
            ("homepage", None),
        ] {
            assert_eq!(nearest(word, &known), expected, "{word}");
        }
    }

    #[test]
    fn letters_that_fold_to_ascii_are_seen() {
        assert!(same_but_for_case("arg\u{17f}", "args"));
        assert!(!same_but_for_case("argz", "args"));
    }
}
