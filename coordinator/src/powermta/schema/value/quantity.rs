//! Times, sizes and rates.

/// A rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// `unlimited`.
    Unlimited,
    /// `0`, whose meaning is documented nowhere.
    Zero,
    /// So many in so many units.
    Per {
        /// How many.
        count: u64,
        /// In how many units; written since 5.0.
        multiple: Option<u64>,
        /// Of what.
        unit: RateUnit,
    },
}

/// Unit of time of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are what they are called")]
pub enum RateUnit {
    Day,
    Hour,
    Minute,
    Second,
}

/// Seconds of `4d12h`; a plain number only as `0`.
#[must_use]
pub fn parse_time(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut seconds: u64 = 0;
    let mut number: Option<u64> = None;
    for byte in text.bytes() {
        if byte.is_ascii_digit() {
            let digit = u64::from(byte - b'0');
            number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(digit)?);
        } else {
            let unit = match byte.to_ascii_lowercase() {
                b'w' => 604_800,
                b'd' => 86_400,
                b'h' => 3_600,
                b'm' => 60,
                b's' => 1,
                _ => return None,
            };
            seconds = seconds.checked_add(number.take()?.checked_mul(unit)?)?;
        }
    }
    (number.is_none() && !text.is_empty()).then_some(seconds)
}

/// Bytes of `50M`; a plain number only as `0`.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let (at, unit) = text.char_indices().next_back()?;
    let shift = "bkmgt".find(unit.to_ascii_lowercase())? * 10;
    let digits = &text[..at];
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Reads `unlimited`, `0` and `N/[M]unit`.
#[must_use]
pub fn parse_rate(text: &str) -> Option<Rate> {
    match text {
        "unlimited" => return Some(Rate::Unlimited),
        "0" => return Some(Rate::Zero),
        _ => {}
    }
    let (count, per) = text.split_once('/')?;
    let (multiple, unit) = period(per)?;
    let count = number(count).filter(|count| *count > 0)?;
    Some(Rate::Per {
        count,
        multiple,
        unit,
    })
}

/// `1000/day`.
pub(super) fn is_daily_rate(text: &str) -> bool {
    text.split_once('/')
        .is_some_and(|(count, unit)| number(count).is_some() && matches!(unit, "d" | "day"))
}

/// `8d`.
pub(super) fn is_days(text: &str) -> bool {
    text.strip_suffix(['d', 'D']).and_then(number).is_some()
}

/// Reads `10G/2h`, which the guide prints with and without blanks; `count` is bytes.
pub(super) fn parse_volume_rate(text: &str) -> Option<Rate> {
    let text: String = text.split_ascii_whitespace().collect();
    match &*text {
        "unlimited" => return Some(Rate::Unlimited),
        "0" => return Some(Rate::Zero),
        _ => {}
    }
    let (volume, per) = text.split_once('/')?;
    let (multiple, unit) = period(per)?;
    let bytes = parse_size(volume).or_else(|| number(volume));
    let count = bytes.filter(|bytes| *bytes > 0)?;
    Some(Rate::Per {
        count,
        multiple,
        unit,
    })
}

fn period(text: &str) -> Option<(Option<u64>, RateUnit)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit = match text[digits..].to_ascii_lowercase().as_str() {
        "d" | "day" => RateUnit::Day,
        "h" | "hr" => RateUnit::Hour,
        "m" | "min" => RateUnit::Minute,
        "s" | "sec" => RateUnit::Second,
        _ => return None,
    };
    let multiple = match &text[..digits] {
        "" => None,
        digits => Some(number(digits).filter(|multiple| *multiple > 0)?),
    };
    Some((multiple, unit))
}

fn number(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_seconds() {
        for (text, seconds) in [("4d12h", 388_800), ("300s", 300), ("0", 0), ("1w", 604_800)] {
            assert_eq!(parse_time(text), Some(seconds), "{text}");
        }
        for bad in ["", "5", "h", "1h5", "1x", "99999999999999999999w"] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_are_read_in_bytes() {
        assert_eq!(parse_size("50M"), Some(50 << 20));
        assert_eq!(parse_size("1g"), Some(1 << 30));
        for bad in ["", "M", "50", "1MB", "+1M", "é", "99999999999T"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }

    #[test]
    fn rates_are_read_with_their_multiple() {
        let per = |count, multiple, unit| {
            Some(Rate::Per {
                count,
                multiple,
                unit,
            })
        };
        assert_eq!(parse_rate("100/h"), per(100, None, RateUnit::Hour));
        assert_eq!(parse_rate("1/5s"), per(1, Some(5), RateUnit::Second));
        assert_eq!(parse_rate("83/10min"), per(83, Some(10), RateUnit::Minute));
        assert_eq!(parse_rate("5/day"), per(5, None, RateUnit::Day));
        for bad in ["", "100", "0/h", "/h", "1/", "1/0h", "1/w", "1 /h", "-1/h"] {
            assert_eq!(parse_rate(bad), None, "{bad}");
        }
    }
}
