//! Lists of quantities on the command line: `1%,2%,5%`, or `1,2,5%` for short.

use framehawk_sim::scenario::quantity::Written;
use framehawk_sim::units::Probability;

/// The values of an axis, in the order in which they were written; at least one.
#[derive(Clone, Debug)]
pub(super) struct List<T> {
    pub(super) values: Vec<T>,
    /// As it was written.
    pub(super) text: String,
}

/// Shares of packets: `0,1,2.5%`.
pub(super) fn shares(text: &str) -> Result<List<Probability>, String> {
    quantities(text, "%", "1,2,5%")
}

/// Durations: `20,100ms`.
pub(super) fn durations<T: Written>(text: &str) -> Result<List<T>, String> {
    quantities(text, "ms", "20,100ms")
}

/// Mean bursts in packets: `iid,2,4`.
pub(super) fn bursts(text: &str) -> Result<List<f64>, String> {
    let burst = |word: &str| match word {
        // Bursts of one packet on average are what independent losses nearly have.
        "iid" => Ok(1.0),
        _ => word.parse().map_err(|_| format!("`{word}` is no length of bursts: write for example iid,2,4")),
    };
    let values = words(text).map(burst).collect::<Result<_, _>>()?;
    Ok(List { values, text: text.to_owned() })
}

/// A number without a unit has that of the next one with a unit; a 0 needs none.
fn quantities<T: Written>(text: &str, usual: &str, example: &str) -> Result<List<T>, String> {
    let mut values = Vec::new();
    let mut unit = "";
    for word in words(text).collect::<Vec<_>>().into_iter().rev() {
        let bare = word.parse::<f64>().is_ok();
        if !bare {
            unit = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').trim();
        }
        let whole = match (bare, unit) {
            (false, _) => word.to_owned(),
            (true, "") if word == "0" => format!("0{usual}"),
            (true, "") => return Err(format!("`{word}` has no unit: write for example {example}")),
            (true, unit) => format!("{word}{unit}"),
        };
        values.push(T::parse(&whole).map_err(|help| format!("`{word}`: {help}"))?);
    }
    values.reverse();
    Ok(List { values, text: text.to_owned() })
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim)
}

#[cfg(test)]
mod tests {
    use framehawk_sim::time::Duration;

    use super::*;

    #[test]
    fn a_unit_is_for_the_numbers_before_it_too() {
        let percents = |text| {
            shares(text).map(|list| list.values.iter().map(|share| share.get() * 100.0).collect::<Vec<_>>())
        };
        assert_eq!(percents("1,2,5%").unwrap(), [1.0, 2.0, 5.0]);
        assert_eq!(percents("1%, 2% ,5%").unwrap(), [1.0, 2.0, 5.0]);
        assert_eq!(percents("0").unwrap(), [0.0]);
        assert_eq!(
            durations::<Duration>("20,100ms,1s").unwrap().values,
            [20, 100, 1000].map(Duration::from_millis)
        );
    }

    #[test]
    fn a_bad_value_is_named() {
        for (text, part) in [
            ("1,2,5", "`5` has no unit"),
            ("5%,2", "`2` has no unit"),
            ("1%,x", "`x`"),
            ("1%,,2%", "``"),
            ("", "``"),
            ("120%", "`120%`"),
            ("-1%", "`-1%`"),
        ] {
            let error = shares(text).unwrap_err();
            assert!(error.contains(part), "{text:?}: {error}");
        }
        assert!(durations::<Duration>("20,100").unwrap_err().contains("`100` has no unit"));
        assert!(bursts("iid,four").unwrap_err().contains("`four`"));
    }
}
