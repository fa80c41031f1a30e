//! What a resource was asked to tell, beside that it is right.

use serde::{Deserialize, Serialize};

use crate::limits;

/// Rows of short texts. Whoever wrote them, they are of bounded length and one line each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// At most [`TOLD_ROWS`](limits::TOLD_ROWS), each of at most [`TOLD_COLUMNS`](limits::TOLD_COLUMNS) texts.
    pub rows: Vec<Vec<String>>,
    /// How many more there are, as far as that was counted.
    pub left_out: u32,
}

impl Told {
    /// Of what was read: the first rows, what would end a line as a blank, what is long cut.
    #[must_use]
    pub fn new(seen: impl IntoIterator<Item = Vec<String>>) -> Self {
        let mut told = Self::default();
        for row in seen {
            if told.rows.len() == limits::TOLD_ROWS {
                told.left_out = told.left_out.saturating_add(1);
                continue;
            }
            let texts = row.into_iter().take(limits::TOLD_COLUMNS);
            told.rows.push(texts.map(|text| plain(&text)).collect());
        }
        told
    }

    /// Whether it is within its bounds: of one that came from elsewhere.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        let is_short = |text: &String| *text == plain(text);
        self.rows.len() <= limits::TOLD_ROWS
            && self
                .rows
                .iter()
                .all(|row| row.len() <= limits::TOLD_COLUMNS && row.iter().all(is_short))
    }
}

fn plain(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(limits::TOLD_CHARS).map(clean).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_too_much_is_counted() {
        let row = |at: usize| vec![at.to_string()];
        let told = Told::new((0..70).map(row));
        assert_eq!((told.rows.len(), told.left_out), (64, 6));
        assert_eq!(told.rows[63], ["63"]);
    }

    proptest! {
        #[test]
        fn whatever_is_told_is_bounded(
            seen in prop::collection::vec(prop::collection::vec("(?s).{0,300}", 0..7), 0..80)
        ) {
            let many = seen.len();
            let told = Told::new(seen);
            prop_assert!(told.is_bounded());
            prop_assert_eq!(told.rows.len() + told.left_out as usize, many);
        }
    }
}
