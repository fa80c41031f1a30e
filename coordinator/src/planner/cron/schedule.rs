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
    low: u32,
    high: u32,
    /// What may stand for the numbers from the lowest on.
    names: &'static [&'static str],
    /// How that is told.
    named: &'static str,
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
        named: "; one of jan to dec may stand for a number that is no step",
    },
    // Sunday is the first and the last. Its name is the first: behind a '-' Debian's cron reads it as the last,
    // and cronie passes over the table.
    Field {
        name: "day of the week",
        low: 0,
        high: 7,
        names: &DAYS,
        named: "; one of sun (0) to sat may stand for a number that is no step, and fri-7 ends on a Sunday",
    },
];

/// Days of the longest month of this number.
const LONGEST: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

impl Field {
    const fn numbers(name: &'static str, low: u32, high: u32) -> Self {
        Self {
            name,
            low,
            high,
            names: &[],
            named: "",
        }
    }

    fn refuse(&self, text: &str) -> String {
        let Self {
            name,
            low,
            high,
            named,
            ..
        } = self;
        let text: String = text.chars().take(120).collect();
        format!(
            "{name} is {text:?}, accepted is *, a number from {low} to {high}, a range such as {low}-{high}, * or \
             a range with a step from 1 such as */2, several of these with ',' between them{named}"
        )
    }

    /// The numbers that a text stands for, as bits.
    fn read(&self, text: &str) -> Result<u64, String> {
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
            Some((low, high)) => (self.value(low)?, self.value(high)?),
            // A step goes from one to another, and cron refuses it behind one alone.
            None if step.is_some() => return None,
            None => (self.value(range)?, self.value(range)?),
        };
        // A step beyond the last leaves the first.
        let step = usize::try_from(step.unwrap_or(1)).ok()?;
        if step == 0 || low < self.low || low > high || high > self.high {
            return None;
        }
        let numbers = (low..=high).step_by(step);
        Some(numbers.fold(0, |bits, number| bits | 1 << number))
    }

    /// A number, or the one that a name stands for.
    fn value(&self, text: &str) -> Option<u32> {
        let names = (self.low..).zip(self.names);
        let mut named = names.filter(|(_, name)| name.eq_ignore_ascii_case(text));
        named
            .next()
            .map_or_else(|| number(text), |(at, _)| Some(at))
    }
}

/// Few enough digits for whatever cron counts in.
fn number(text: &str) -> Option<u32> {
    let digits = (1..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
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
    let is_in = |month: u32| months & (1 << month) != 0;
    let mut longest = (1_u32..).zip(LONGEST).filter(|(month, _)| is_in(*month));
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
            "0 4 * * mon-fri",
            "0 4 * Jan,feb,12 *",
            "0 4 * jan-6/2 SUN,2-thu,fri-7/3",
            "*/60 */24 * * *",
            "0-5/100000 * * * *",
            "001 * * * *",
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
            ("* * * * fri-sun", "and fri-7 ends on a Sunday"),
            ("* * * * monday", "one of sun (0) to sat may stand"),
            ("* * * mon *", "one of jan to dec may stand"),
            ("* * * jan/2 *", "month is \"jan/2\""),
            ("* jan * * *", "hour is \"jan\""),
            ("* * * * */tue", "for a number that is no step"),
            ("* * * * mon-", "day of the week is \"mon-\""),
            ("*/0 * * * *", "a step from 1 such as */2"),
            ("*/1000000000 * * * *", "minute is"),
            ("5/10 * * * *", "* or a range with a step"),
            ("20-10 * * * *", "minute is \"20-10\""),
            ("1, * * * *", "minute is \"1,\""),
            ("-1 * * * *", "minute is \"-1\""),
            ("+1 * * * *", "minute is \"+1\""),
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
        fn fields_are_what_they_may_be(numbers in prop::array::uniform5(0_u32..70), step in 1_u32..2_000) {
            for (at, field) in FIELDS.iter().enumerate() {
                let mut texts = ["*"; 5].map(str::to_owned);
                texts[at] = numbers[at].to_string();
                let fits = (field.low..=field.high).contains(&numbers[at]);
                prop_assert_eq!(check(&texts.join(" ")).is_ok(), fits);
                texts[at] = format!("{}-{}/{step}", field.low, numbers[at]);
                prop_assert_eq!(check(&texts.join(" ")).is_ok(), fits);
            }
        }

        /// A name is as good as its number, wherever one may stand but as a step.
        #[test]
        fn names_are_numbers(from in 0_usize..7, to in 0_usize..7, step in 1_u32..40) {
            for (at, field) in FIELDS.iter().enumerate().skip(3) {
                let spell = |form: &dyn Fn(usize) -> String| {
                    format!("{},{}-{}/{step}", form(to), form(from), form(to))
                };
                let numbers = spell(&|name| (field.low as usize + name).to_string());
                let names = spell(&|name| field.names[name].to_uppercase());
                prop_assert_eq!(field.read(&names).ok(), field.read(&numbers).ok());
                prop_assert_eq!(field.read(&names).is_ok(), from <= to, "{} {}", at, names);
                let step = format!("*/{}", field.names[to]);
                prop_assert!(field.read(&step).is_err());
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
