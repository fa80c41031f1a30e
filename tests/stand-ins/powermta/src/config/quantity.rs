//! Times, sizes and rates as the guide writes them.

use std::time::Duration;

/// So many in an interval; `None` as the limit of [`Rate::limit`] means unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many are allowed; absent when there is no limit.
    pub limit: Option<u64>,
    /// In which time.
    pub per: Duration,
}

impl Rate {
    /// No limit at all.
    pub const UNLIMITED: Self = Self {
        limit: None,
        per: Duration::from_secs(1),
    };
}

/// `4d12h`, `300s`; a plain number is refused but for `0`.
pub fn time(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut seconds = 0_u64;
    let mut number: Option<u64> = None;
    for character in text.chars() {
        if let Some(digit) = character.to_digit(10) {
            let so_far = number.unwrap_or(0);
            number = Some(so_far.checked_mul(10)?.checked_add(u64::from(digit))?);
            continue;
        }
        let unit = match character.to_ascii_lowercase() {
            'w' => 7 * 86_400,
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        seconds = seconds.checked_add(number.take()?.checked_mul(unit)?)?;
    }
    let complete = number.is_none() && !text.is_empty();
    complete.then(|| Duration::from_secs(seconds))
}

/// `50M`, `1G`.
pub(super) fn size(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let unit = text.chars().next_back()?;
    let factor = match unit.to_ascii_lowercase() {
        'b' => 1,
        'k' => 1 << 10,
        'm' => 1 << 20,
        'g' => 1 << 30,
        't' => 1_u64 << 40,
        _ => return None,
    };
    digits(&text[..text.len() - unit.len_utf8()])?.checked_mul(factor)
}

/// `unlimited`, `0`, `100/h`, `83/10m`.
pub(super) fn rate(text: &str) -> Option<Rate> {
    rate_of(text, digits)
}

/// As a rate, of bytes: `10G/2h`, `1048576/1h`.
pub(super) fn volume_rate(text: &str) -> Option<Rate> {
    rate_of(text, |amount| size(amount).or_else(|| digits(amount)))
}

fn rate_of(text: &str, amount: impl Fn(&str) -> Option<u64>) -> Option<Rate> {
    match text {
        "unlimited" => return Some(Rate::UNLIMITED),
        "0" => {
            return Some(Rate {
                limit: Some(0),
                per: Duration::from_secs(1),
            });
        }
        _ => {}
    }
    let (count, interval) = text.split_once('/')?;
    let unit_at = interval.find(|c: char| !c.is_ascii_digit())?;
    let factor = if unit_at == 0 {
        1
    } else {
        digits(&interval[..unit_at])?
    };
    let unit = match &interval[unit_at..] {
        "s" | "sec" => 1,
        "m" | "min" => 60,
        "h" | "hr" => 3_600,
        "d" | "day" => 86_400,
        _ => return None,
    };
    let per = factor.checked_mul(unit).filter(|&seconds| seconds > 0)?;
    Some(Rate {
        limit: Some(amount(count)?),
        per: Duration::from_secs(per),
    })
}

/// Only digits: `u64::from_str` would take a sign.
pub(super) fn digits(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_concatenations() {
        assert_eq!(
            time("4d12h"),
            Some(Duration::from_secs(4 * 86_400 + 12 * 3_600))
        );
        assert_eq!(time("0"), Some(Duration::ZERO));
        for wrong in ["", "10", "10x", "h", "1h5", "-1h"] {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn rates_know_multiples_of_their_unit() {
        let ten_minutes = Rate {
            limit: Some(83),
            per: Duration::from_secs(600),
        };
        assert_eq!(rate("83/10m"), Some(ten_minutes));
        assert_eq!(rate("unlimited"), Some(Rate::UNLIMITED));
        assert_eq!(
            rate("1/day").map(|rate| rate.per),
            Some(Duration::from_secs(86_400))
        );
        for wrong in ["10", "10/", "/h", "10/x", "10/0h", "1.5/h"] {
            assert_eq!(rate(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_carry_a_unit_in_either_case() {
        assert_eq!(size("50M"), Some(50 << 20));
        assert_eq!(size("1g"), Some(1 << 30));
        assert_eq!(size("50"), None);
        assert_eq!(
            volume_rate("10G/2h").and_then(|rate| rate.limit),
            Some(10 << 30)
        );
    }
}
