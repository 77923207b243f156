//! The screen of the live view, as a function of what there is to show.
//!
//! From top to bottom: what runs, a table, the peak age of every half second and beside it where frames
//! spend their time, what became of the last frames, how well this machine keeps time, the keys. Where
//! there is little room, columns and parts go that can be done without.

use framehawk_sim::drive::timing::Quality;
use framehawk_sim::measure::{Budget, Fate, Mark};
use framehawk_sim::report::layout::Look;
use framehawk_sim::time::Duration;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::knobs::Knobs;
use super::lines::repair;
use super::notation::{clock, mark, millis, none, percent, rate, share_of_frames, shortened, sign, span};
use super::{Scene, Shown, Status};

/// What is drawn, and how.
#[derive(Clone, Debug)]
pub(super) struct Picture<'a> {
    pub(super) scene: &'a Scene,
    pub(super) knobs: &'a Knobs,
    pub(super) paused: bool,
    pub(super) table_only: bool,
    /// Something to say for a moment, in the place of the keys.
    pub(super) note: Option<&'a str>,
    pub(super) look: Look,
}

/// Below this many columns the latency budget goes.
const WIDE: u16 = 100;
/// The colors are those of the printed table: vermilion and blue of Okabe and Ito.
const VERMILION: Color = Color::Indexed(166);
const BLUE: Color = Color::Indexed(32);
const GREEN: Color = Color::Indexed(36);
const ORANGE: Color = Color::Indexed(172);
const RED: Color = Color::Indexed(160);

/// Draws the whole screen.
pub(super) fn draw(frame: &mut Frame<'_>, picture: &Picture<'_>) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    let mut rows = Rows { area, top: area.top(), bottom: area.bottom() };
    let contenders = picture.scene.contenders.len() as u16;
    if let Some(row) = rows.take(1) {
        picture.title(row, buffer);
    }
    if let Some(row) = rows.take_last(1) {
        picture.keys(row, buffer);
    }
    if let Some(row) = rows.take_last(1) {
        picture.machine(row, buffer);
    }
    // Some of the table is better than none.
    if let Some(table) = rows.take((1 + contenders).min(rows.left())).filter(|table| table.height > 0) {
        picture.table(table, buffer);
    }
    if picture.table_only || contenders == 0 {
        return;
    }
    // The frames' marks leave at least a line for each contender's ages.
    if rows.left() > 2 * (1 + contenders)
        && let Some(strips) = rows.take_last(1 + contenders)
    {
        picture.frames(strips, buffer);
    }
    let height = (rows.left().saturating_sub(1) / contenders).min(HEIGHT_MAX);
    if height > 0
        && let Some(lanes) = rows.take(1 + height * contenders)
    {
        picture.lanes(lanes, height, buffer);
    }
}

/// The most lines that the ages of a contender get.
const HEIGHT_MAX: u16 = 8;

/// The rows of the screen that are not taken.
struct Rows {
    area: Rect,
    top: u16,
    bottom: u16,
}

impl Rows {
    const fn left(&self) -> u16 {
        self.bottom - self.top
    }

    fn take(&mut self, height: u16) -> Option<Rect> {
        let row = Rect { y: self.top, height, ..self.area };
        (height <= self.left()).then(|| {
            self.top += height;
            row
        })
    }

    fn take_last(&mut self, height: u16) -> Option<Rect> {
        (height <= self.left()).then(|| {
            self.bottom -= height;
            Rect { y: self.bottom, height, ..self.area }
        })
    }
}

/// A column of the table: its heading, its width with the gap before it, whether it needs a wide screen,
/// and its cells.
type Column = (&'static str, u16, bool, fn(&Shown, Look) -> String);

const COLUMNS: [Column; 11] = [
    ("age now", 10, false, |shown, look| shown.glance.age.map_or_else(|| none(look), span)),
    ("p50 ms", 8, true, |shown, look| millis(shown.glance.age_p50_ms, look)),
    ("p99 ms", 8, false, |shown, look| millis(shown.glance.age_p99_ms, look)),
    ("freeze", 9, false, |shown, _| span(shown.glance.freeze_longest)),
    ("shown", 7, false, |shown, look| {
        percent(share_of_frames(&shown.glance, |fate| fate == Fate::Shown as usize), look)
    }),
    ("lost", 7, false, |shown, look| {
        let lost = [Fate::Undecodable, Fate::Unrepairable, Fate::Late, Fate::NeverSent];
        percent(share_of_frames(&shown.glance, |fate| lost.iter().any(|one| *one as usize == fate)), look)
    }),
    ("loss", 7, false, |shown, look| percent(shown.glance.loss, look)),
    ("burst", 7, true, |shown, look| {
        shown.glance.burst.map_or_else(|| none(look), |burst| format!("{burst:.1}"))
    }),
    ("repair", 8, false, |shown, look| repair(shown.glance.repair_overhead, look)),
    ("margin", 8, true, |shown, look| {
        shown.glance.margin.map_or_else(|| none(look), |margin| format!("{margin:+}"))
    }),
    ("Mbit/s", 8, false, |shown, look| {
        shown.glance.goodput.map_or_else(|| none(look), |rate| format!("{:.2}", rate.bps() as f64 / 1e6))
    }),
];

impl Picture<'_> {
    /// What runs, and how far it is.
    fn title(&self, row: Rect, buffer: &mut Buffer) {
        let scene = self.scene;
        let ports: Vec<u16> = scene.contenders.iter().flat_map(|one| one.ports.iter().copied()).collect();
        let dash = if self.look.unicode { "–" } else { "-" };
        let ports = match (ports.iter().min(), ports.iter().max()) {
            (Some(lowest), Some(highest)) if lowest == highest => format!("port {lowest}"),
            (Some(lowest), Some(highest)) => format!("ports {lowest}{dash}{highest}"),
            _ => "setting up".to_owned(),
        };
        let time = format!("{} / {}", clock(scene.now), clock(scene.duration));
        let state = if self.paused { "paused" } else { "live" };
        let mut parts =
            vec![scene.name.clone(), format!("{state} {time}"), ports, format!("seed {}", scene.seed)];
        // Contenders whose encoder follows the path want to send less than others.
        let offered = scene.contenders.iter().filter_map(|one| one.glance.offered).max();
        parts.extend(offered.map(|offered| format!("sends {}", rate(offered))));
        self.rule(row, &parts, Style::new().add_modifier(Modifier::BOLD), buffer);
    }

    /// The table, a line for each contender.
    fn table(&self, area: Rect, buffer: &mut Buffer) {
        let wide = area.width >= WIDE;
        let columns: Vec<&Column> = COLUMNS.iter().filter(|(_, _, only, _)| wide || !only).collect();
        let widths: u16 = columns.iter().map(|(_, width, ..)| width).sum();
        let longest = self.scene.contenders.iter().map(|one| label(one).chars().count() as u16 + 2).max();
        let room = longest.unwrap_or(0).min(area.width.saturating_sub(widths));
        let mut x = area.x + room;
        for (heading, width, ..) in &columns {
            self.right(buffer, x, area.y, *width, heading, self.dim());
            x += width;
        }
        for (shown, y) in self.scene.contenders.iter().zip(area.y + 1..area.bottom()) {
            self.name(buffer, area.x, y, room, shown);
            if let Status::Failed(why) = &shown.status {
                let width = usize::from(area.width.saturating_sub(room + 2));
                buffer.set_stringn(area.x + room + 2, y, why, width, self.color(RED));
                continue;
            }
            let style = if shown.status == Status::Over { self.dim() } else { Style::new() };
            let mut x = area.x + room;
            for (_, width, _, cell) in &columns {
                self.right(buffer, x, y, *width, &cell(shown, self.look), style);
                x += width;
            }
        }
    }

    /// The peak ages of the last half minute and, where there is room, the latency budgets beside them.
    fn lanes(&self, area: Rect, height: u16, buffer: &mut Buffer) {
        let gutter = self.gutter();
        let all = PEAKS + gutter + SCALE;
        let wide = area.width >= WIDE;
        let left = if wide { all.min(area.width - BUDGET_MIN) } else { all.min(area.width) };
        let columns = left.saturating_sub(gutter + SCALE);
        let title = format!("peak age, last {} s, from 10 ms to 10 s", columns / 2);
        self.rule(Rect { height: 1, width: left, ..area }, &[title], Style::new(), buffer);
        if wide {
            let right = Rect { x: area.x + left, height: 1, width: area.width - left, ..area };
            self.rule(right, &["latency budget, ms".to_owned()], Style::new(), buffer);
        }
        let totals = self.scene.contenders.iter().filter_map(|one| one.glance.budget).map(Budget::total);
        let longest = totals.max().unwrap_or_default();
        for (place, shown) in self.scene.contenders.iter().enumerate() {
            let y = area.y + 1 + place as u16 * height;
            self.name(buffer, area.x, y, gutter - 1, shown);
            let chart = Rect { x: area.x + gutter, y, width: columns, height };
            self.ages(chart, shown, buffer);
            if wide {
                let x = area.x + left;
                let budget = Rect { x: x + 1, y, width: area.width - left - 1, height };
                self.budget(budget, shown, longest, buffer);
            }
        }
    }

    /// A bar for the peak age of each half second on a logarithmic scale, the newest at the right.
    fn ages(&self, area: Rect, shown: &Shown, buffer: &mut Buffer) {
        let peaks = &shown.glance.peaks;
        let skip = peaks.len().saturating_sub(usize::from(area.width));
        let columns = &peaks[skip..];
        let style = self.color(color(shown));
        let steps = self.blocks().len() as u16;
        let start = area.right() - columns.len() as u16;
        for (x, peak) in (start..).zip(columns) {
            let Some(peak) = peak else { continue };
            let level = level(*peak, area.height * steps);
            for row in 0..area.height {
                let filled = level.saturating_sub(row * steps).min(steps);
                if filled > 0 {
                    let block = self.blocks()[usize::from(filled) - 1];
                    buffer.set_string(x, area.bottom() - 1 - row, block, style);
                }
            }
        }
        if area.height > 2 {
            buffer.set_stringn(area.right() + 1, area.top(), "10 s", 6, self.dim());
            buffer.set_stringn(area.right() + 1, area.bottom() - 1, "10 ms", 6, self.dim());
        }
    }

    /// The stages of a frame's way in numbers, and as parts of a bar.
    fn budget(&self, area: Rect, shown: &Shown, longest: Duration, buffer: &mut Buffer) {
        let Some(budget) = shown.glance.budget else {
            let nothing = "no frame came on the screen in the last second";
            buffer.set_stringn(area.x, area.y, nothing, usize::from(area.width), self.dim());
            return;
        };
        let stages = budget.stages();
        let mut numbers = Line::default();
        for ((name, stage), look) in stages.iter().zip(STAGES) {
            let number = format!("{:.0}", stage.as_millis_f64());
            let sign = if self.look.unicode { look.block } else { look.letter };
            numbers.push_span(Span::styled(sign, self.color(look.color)));
            numbers.push_span(Span::raw(format!(" {name} {number}  ")));
        }
        buffer.set_line(area.x, area.y, &numbers, area.width);
        if area.height < 2 {
            return;
        }
        let room = area.width.saturating_sub(TOTAL);
        let place = |until: Duration| {
            let share = until.as_secs_f64() / longest.as_secs_f64().max(f64::MIN_POSITIVE);
            (share * f64::from(room)).round() as u16
        };
        let (mut x, mut until) = (area.x, Duration::ZERO);
        for ((_, stage), look) in stages.iter().zip(STAGES) {
            until += *stage;
            let sign = if self.look.unicode { look.block } else { look.letter };
            while x < area.x + place(until) {
                buffer.set_string(x, area.y + 1, sign, self.color(look.color));
                x += 1;
            }
        }
        let total = format!(" {}", span(budget.total()));
        buffer.set_stringn(x, area.y + 1, total, usize::from(TOTAL), Style::new());
    }

    /// What became of the last frames.
    fn frames(&self, area: Rect, buffer: &mut Buffer) {
        let legend = [
            (Mark::Shown, "shown"),
            (Mark::Repaired, "repaired"),
            (Mark::Superseded, "superseded"),
            (Mark::Lost, "lost"),
        ];
        let legend: Vec<String> =
            legend.map(|(one, name)| format!("{} {name}", mark(one, self.look))).to_vec();
        let title = format!("frames, newest right   {}", legend.join("  "));
        self.rule(Rect { height: 1, ..area }, &[title], Style::new(), buffer);
        let gutter = self.gutter();
        for (shown, y) in self.scene.contenders.iter().zip(area.y + 1..) {
            self.name(buffer, area.x, y, gutter - 1, shown);
            let room = usize::from(area.width.saturating_sub(gutter));
            let marks = &shown.glance.marks;
            let skip = marks.len().saturating_sub(room);
            for (x, one) in (area.x + gutter..).zip(&marks[skip..]) {
                let style = match one {
                    Mark::Shown => self.color(color(shown)),
                    Mark::Repaired => self.color(GREEN),
                    Mark::Superseded | Mark::Open => self.dim(),
                    Mark::Lost => self.color(RED),
                };
                buffer.set_string(x, y, mark(*one, self.look), style);
            }
        }
    }

    /// How well this machine keeps time, and what that says of the figures.
    fn machine(&self, row: Rect, buffer: &mut Buffer) {
        let Some(timing) = self.scene.timing else {
            return self.rule(row, &["this machine: not known yet".to_owned()], self.dim(), buffer);
        };
        let micro = if self.look.unicode { "µs" } else { "us" };
        let late = format!("this machine was late by {} {micro} at p99", timing.late_p99.as_micros());
        let cpu = format!("used {:.0} % CPU", timing.cpu * 100.0);
        // What spoils the figures is said first: there may not be room for all.
        let facts = match (timing.socket_drops, timing.device_drops) {
            (0, 0) => [late, "lost nothing".to_owned(), cpu],
            (sockets, devices) => [format!("lost {sockets} at sockets, {devices} before devices"), late, cpu],
        };
        let (verdict, style) = match timing.quality() {
            Quality::Trustworthy => ("trustworthy", Style::new()),
            Quality::Rough => ("too slow: take figures as rough", self.color(ORANGE)),
            Quality::Spoiled => ("it lost packets: figures are spoiled", self.color(RED)),
        };
        self.rule(row, &[&[verdict.to_owned()], facts.as_slice()].concat(), style, buffer);
    }

    /// The keys, and how things are set; those for which there is no room are left out.
    fn keys(&self, row: Rect, buffer: &mut Buffer) {
        if let Some(note) = self.note {
            buffer.set_stringn(row.x, row.y, note, usize::from(row.width), Style::new());
            return;
        }
        let keys = [
            ("q", "quit".to_owned()),
            ("space", if self.paused { "go on" } else { "pause" }.to_owned()),
            ("1-8 +/-", format!("loss {}", self.knobs.loss())),
            ("b/B", format!("burst {}", self.knobs.burst())),
            ("f/F", format!("repair {}", self.knobs.repair())),
            ("t", "table".to_owned()),
            ("s", "save".to_owned()),
        ];
        let mut line = Line::default();
        for (key, what) in keys {
            let width = line.width() + key.len() + 1 + what.chars().count();
            if width > usize::from(row.width) {
                continue;
            }
            line.push_span(Span::styled(key, Style::new().add_modifier(Modifier::BOLD)));
            line.push_span(Span::styled(format!(" {what}  "), self.dim()));
        }
        buffer.set_line(row.x, row.y, &line, row.width);
    }

    /// A line across with words in it. Of the parts behind the first one those are left out for which there
    /// is no room.
    fn rule(&self, row: Rect, parts: &[String], style: Style, buffer: &mut Buffer) {
        let dash = if self.look.unicode { "─" } else { "-" };
        for x in row.left()..row.right() {
            buffer.set_string(x, row.y, dash, self.dim());
        }
        let mut x = row.x + 1;
        for (place, part) in parts.iter().enumerate() {
            let room = usize::from(row.right().saturating_sub(x + 1));
            if room > 2 && (place == 0 || part.chars().count() + 2 <= room) {
                x = buffer.set_stringn(x, row.y, format!(" {part} "), room, style).0 + 1;
            }
        }
    }

    fn name(&self, buffer: &mut Buffer, x: u16, y: u16, width: u16, shown: &Shown) {
        buffer.set_string(x, y, sign(shown.tcp, self.look), self.color(color(shown)));
        let name = shortened(&label(shown), usize::from(width.saturating_sub(2)), self.look);
        buffer.set_stringn(x + 2, y, name, usize::from(width.saturating_sub(2)), Style::new());
    }

    fn right(&self, buffer: &mut Buffer, x: u16, y: u16, width: u16, text: &str, style: Style) {
        let blank = usize::from(width).saturating_sub(text.chars().count());
        buffer.set_stringn(x + blank as u16, y, text, usize::from(width) - blank, style);
    }

    /// The width of the names left of what is drawn.
    fn gutter(&self) -> u16 {
        let longest = self.scene.contenders.iter().map(|one| label(one).chars().count()).max().unwrap_or(0);
        longest.min(NAME_MAX) as u16 + 3
    }

    /// The blocks that bars are made of, the lowest first.
    const fn blocks(&self) -> &'static [&'static str] {
        if self.look.unicode {
            &["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]
        } else {
            &[".", ":", "|", "#"]
        }
    }

    fn color(&self, color: Color) -> Style {
        if self.look.styled { Style::new().fg(color) } else { Style::new() }
    }

    fn dim(&self) -> Style {
        if self.look.styled { Style::new().add_modifier(Modifier::DIM) } else { Style::new() }
    }
}

/// How a stage is drawn.
struct StageLook {
    block: &'static str,
    letter: &'static str,
    color: Color,
}

/// The stages' looks, in the order of [`Budget::stages`]; they differ without colors too.
const STAGES: [StageLook; 5] = [
    StageLook { block: "░", letter: "s", color: Color::Indexed(245) },
    StageLook { block: "█", letter: "q", color: ORANGE },
    StageLook { block: "▒", letter: "l", color: BLUE },
    StageLook { block: "▓", letter: "b", color: VERMILION },
    StageLook { block: "·", letter: "t", color: Color::Indexed(245) },
];

/// A column for each half second.
const PEAKS: u16 = framehawk_sim::measure::PEAKS as u16;
/// Room for the scale right of the ages.
const SCALE: u16 = 8;
/// The least width of the budgets.
const BUDGET_MIN: u16 = 52;
/// Room for the total behind a budget's bar.
const TOTAL: u16 = 9;
/// The longest name left of what is drawn.
const NAME_MAX: usize = 14;

fn label(shown: &Shown) -> String {
    if shown.congestion_controlled { shown.name.clone() } else { format!("{} !", shown.name) }
}

const fn color(shown: &Shown) -> Color {
    if shown.tcp { VERMILION } else { BLUE }
}

/// The height of a bar for this age, at least 1 and at most `levels`: from 10 ms to 10 s, every factor of
/// ten is a third.
fn level(age: Duration, levels: u16) -> u16 {
    let decades = libm::log10((age.as_millis_f64() / 10.0).max(1.0));
    ((decades / 3.0 * f64::from(levels)).round() as u16).clamp(1, levels)
}
