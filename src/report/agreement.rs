//! Virtual time and real time side by side.

use super::layout::{BOLD, Look, push};
use crate::measure::Value;
use crate::runner::agreement::Comparison;

/// What one contender came to in both times, a line for each comparison.
pub fn table(heading: &str, comparisons: &[Comparison], look: Look) -> String {
    let mut text = String::new();
    push(&mut text, look, BOLD, heading);
    push(
        &mut text,
        look,
        BOLD,
        &row(["", "virtual", "real", "differs by", "allowed", ""].map(str::to_owned)),
    );
    for one in comparisons {
        let difference = one.modelled.number().zip(one.real.number());
        push(
            &mut text,
            look,
            "",
            &row([
                one.what.to_owned(),
                figure(one.modelled),
                figure(one.real),
                difference.map_or(String::new(), |(modelled, real)| short(real - modelled)),
                one.allowed.map_or(String::new(), short),
                match one.agrees {
                    Some(true) => "agrees".to_owned(),
                    Some(false) => "DIFFERS".to_owned(),
                    None => String::new(),
                },
            ]),
        );
    }
    text.push('\n');
    text
}

fn row([what, virtual_time, real, difference, allowed, verdict]: [String; 6]) -> String {
    let line = format!("  {what:34} {virtual_time:>13} {real:>13} {difference:>13} {allowed:>13}  {verdict}");
    line.trim_end().to_owned()
}

fn figure(value: Value) -> String {
    value.number().map_or("-".to_owned(), short)
}

/// A number with the digits that matter in a comparison.
fn short(value: f64) -> String {
    if value == value.round() || value.abs() >= 10_000.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_both_figures_their_difference_and_whether_it_is_allowed() {
        let (modelled, real) = (Value::Number(25.0), Value::Number(27.5));
        let differs = Comparison {
            what: "frame_delay_p50_ms",
            modelled,
            real,
            allowed: Some(2.0),
            agrees: Some(false),
        };
        let absent = Value::Absent("nothing arrived");
        let shown =
            Comparison { what: "age_p99_ms", modelled: absent, real: absent, allowed: None, agrees: None };
        let text = table("udp (UDP), seed 1", &[differs, shown], Look::default());
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[0], ["udp", "(UDP),", "seed", "1"]);
        assert_eq!(words[2], ["frame_delay_p50_ms", "25", "27.500", "2.500", "2", "DIFFERS"]);
        assert_eq!(words[3], ["age_p99_ms", "-", "-"]);
    }
}
