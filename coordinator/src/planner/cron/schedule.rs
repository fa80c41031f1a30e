//! When a job runs: the five fields of crontab(5), and the words that stand for some of them.
//!
//! The libraries that read such fields take more than cron does (seconds, years, L, W, #, ?), and cron does
//! not say that it passes over a table which it cannot read.

/// Words in the place of all fields.
const WORDS: [&str; 8] = [
    "@annually",
    "@daily",
    "@hourly",
    "@midnight",
    "@monthly",
    "@reboot",
    "@weekly",
    "@yearly",
];

struct Field {
    name: &'static str,
    low: u8,
    high: u8,
    /// What may stand for the numbers from the lowest on.
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const FIELDS: [Field; 5] = [
    Field::numbers("minute", 0, 59),
    Field::numbers("hour", 0, 23),
    Field::numbers("day of the month", 1, 31),
    Field {
        name: "month",
        low: 1,
        high: 12,
        names: &MONTHS,
    },
    // Sunday is the first and the last.
    Field {
        name: "day of the week",
        low: 0,
        high: 7,
        names: &DAYS,
    },
];

/// Days of the longest month of this number.
const LONGEST: [u8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

impl Field {
    const fn numbers(name: &'static str, low: u8, high: u8) -> Self {
        Self {
            name,
            low,
            high,
            names: &[],
        }
    }

    fn refuse(&self, text: &str) -> String {
        let Self {
            name,
            low,
            high,
            names,
        } = self;
        let text: String = text.chars().take(120).collect();
        let words = match (names.first(), names.last()) {
            (Some(first), Some(last)) => format!(", or one alone of {first} to {last}"),
            _ => String::new(),
        };
        format!(
            "{name} is {text:?}, accepted is *, a number from {low} to {high}, a range such as {low}-{high}, * or \
             a range with a step such as */2 (1 to {}), several of these with ',' between them{words}",
            high - low
        )
    }

    /// The numbers that a text stands for, as bits.
    fn read(&self, text: &str) -> Result<u64, String> {
        let lower = text.to_ascii_lowercase();
        if let Some(at) = (0..).zip(self.names).find(|(_, name)| **name == lower) {
            return Ok(1 << (self.low + at.0));
        }
        text.split(',').try_fold(0, |bits, part| {
            let range = self.range(part).ok_or_else(|| self.refuse(text))?;
            Ok(bits | range)
        })
    }

    fn range(&self, part: &str) -> Option<u64> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(number(step)?)),
            None => (part, None),
        };
        let (low, high) = match range.split_once('-') {
            _ if range == "*" => (self.low, self.high),
            Some((low, high)) => (number(low)?, number(high)?),
            // A step goes from one to another, and cron refuses it behind one alone.
            None if step.is_some() => return None,
            None => (number(range)?, number(range)?),
        };
        let good = self.low <= low && low <= high && high <= self.high;
        let step = step.unwrap_or(1);
        if !good || !(1..=self.high - self.low).contains(&step) {
            return None;
        }
        let numbers = (low..=high).step_by(usize::from(step));
        Some(numbers.fold(0, |bits, number| bits | 1 << number))
    }
}

fn number(text: &str) -> Option<u8> {
    let digits = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// Whether cron would run something at these times, and ever.
///
/// # Errors
/// Which field is wrong, with what would be accepted.
pub(super) fn check(schedule: &str) -> Result<(), String> {
    if schedule.starts_with('@') {
        return match WORDS.contains(&schedule) {
            true => Ok(()),
            false => Err(format!(
                "schedule is {schedule:?}, accepted is one of {}, or five fields",
                WORDS.join(", ")
            )),
        };
    }
    let texts: Vec<&str> = schedule
        .split([' ', '\t'])
        .filter(|text| !text.is_empty())
        .collect();
    if texts.len() != FIELDS.len() {
        let schedule: String = schedule.chars().take(120).collect();
        let count = texts.len();
        return Err(format!(
            "schedule is {schedule:?} with {count} fields, accepted is five (minute, hour, day of the month, \
             month, day of the week), or a word such as @hourly"
        ));
    }
    let mut bits = [0; 5];
    for ((field, text), bits) in FIELDS.iter().zip(&texts).zip(&mut bits) {
        *bits = field.read(text)?;
    }
    let [_, _, days, months, _] = bits;
    // A day of the week beside it is another chance.
    let by_week = !texts[4].starts_with('*');
    let is_in = |month: u8| months & (1 << month) != 0;
    let mut longest = (1_u8..).zip(LONGEST).filter(|(month, _)| is_in(*month));
    let comes = longest.any(|(_, last)| days & ((1_u64 << (last + 1)) - 1) != 0);
    if comes || by_week {
        return Ok(());
    }
    Err(format!(
        "day of the month is {:?} and month is {:?}, accepted is a day that such a month has",
        texts[2], texts[3]
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cron_reads_is_accepted() {
        for good in [
            "* * * * *",
            "*/2 * * * *",
            "0 0 * * *",
            "5,20-40/10,59 0-23/2 1,15 jan Mon",
            "05 07 1 12 7",
            "0\t4  * * 1-5",
            "0 0 31 1,2 *",
            "0 0 29 2 *",
            "0 0 31 2 mon",
            "@hourly",
            "@reboot",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn the_field_that_is_wrong_is_named_with_its_value_and_what_would_do() {
        for (bad, words) in [
            (
                "60 * * * *",
                "minute is \"60\", accepted is *, a number from 0 to 59",
            ),
            ("* 24 * * *", "hour is \"24\""),
            ("* * 0 * *", "day of the month is \"0\""),
            ("* * * 13 *", "month is \"13\""),
            ("* * * * 8", "day of the week is \"8\""),
            ("* * * * mon-fri", "or one alone of sun to sat"),
            ("* * * jan,feb *", "or one alone of jan to dec"),
            ("*/0 * * * *", "(1 to 59)"),
            ("*/60 * * * *", "(1 to 59)"),
            ("5/10 * * * *", "* or a range with a step"),
            ("20-10 * * * *", "minute is \"20-10\""),
            ("1, * * * *", "minute is \"1,\""),
            ("-1 * * * *", "minute is \"-1\""),
            ("+1 * * * *", "minute is \"+1\""),
            ("001 * * * *", "minute is \"001\""),
            ("1/2/3 * * * *", "minute"),
            ("* * L * *", "day of the month is \"L\""),
            ("* * * * 5#2", "day of the week is \"5#2\""),
            ("0 0 30 2 *", "a day that such a month has"),
            ("0 0 31 4,6 *", "a day that such a month has"),
            ("", "with 0 fields, accepted is five"),
            ("* * * *", "with 4 fields"),
            ("0 * * * * *", "with 6 fields"),
            ("* * * *\n*", "with 4 fields"),
            ("@fortnightly", "accepted is one of @annually, @daily"),
        ] {
            let refused = check(bad).unwrap_err();
            assert!(refused.contains(words), "{bad:?}: {refused}");
        }
    }

    proptest! {
        /// A number is accepted where it is in its field, and nowhere else; so is what is made of some.
        #[test]
        fn fields_are_what_they_may_be(numbers in prop::array::uniform5(0_u8..70), step in 1_u8..70) {
            for (at, field) in FIELDS.iter().enumerate() {
                let mut texts = ["*"; 5].map(str::to_owned);
                texts[at] = numbers[at].to_string();
                let fits = (field.low..=field.high).contains(&numbers[at]);
                prop_assert_eq!(check(&texts.join(" ")).is_ok(), fits);
                texts[at] = format!("{}-{}/{step}", field.low, numbers[at]);
                let fits = fits && step <= field.high - field.low;
                prop_assert_eq!(check(&texts.join(" ")).is_ok(), fits);
            }
        }

        /// Anything at all is judged without a panic, and a line end is in nothing that is accepted.
        #[test]
        fn no_accepted_schedule_has_more_than_one_line(text in "[-*/,0-9a-z@ \n\r]{0,20}") {
            if check(&text).is_ok() {
                prop_assert!(!text.contains(['\n', '\r']));
            }
        }
    }
}
