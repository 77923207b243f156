//! The live view in a terminal: draws ten times a second, and listens to keys.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use anyhow::Context;
use framehawk_sim::drive::message::Command;
use framehawk_sim::report::layout::Look;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::draw::{Picture, draw};
use super::knobs::{Knobs, Turn};
use super::notation::clock;
use super::{Board, Scene};

/// How the view ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Ended {
    /// The trials are over.
    Done,
    /// The person wants to end; the trials have been told to stop.
    Stopped,
}

/// From one drawing to the next.
const INTERVAL: Duration = Duration::from_millis(100);
/// For how many drawings something is said.
const NOTED: u32 = 30;

/// Shows `board` until the other end of `done` is dropped or the person quits. `command` is told what the
/// trials are to do.
///
/// # Errors
/// Where the terminal cannot be used. It is left as it was found, also after a panic.
pub(in crate::cli) fn watch(
    board: &Board<'_>,
    knobs: Knobs,
    look: Look,
    command: &dyn Fn(Command),
    done: &Receiver<()>,
) -> anyhow::Result<Ended> {
    let _restored = Restored;
    let mut terminal = ratatui::try_init().context("cannot draw in this terminal; try --no-tui")?;
    let mut view = View {
        scene: board.scene(),
        knobs,
        paused: false,
        table_only: false,
        note: None,
        look: if has_colors() { look } else { Look { styled: false, ..look } },
    };
    loop {
        if !view.paused {
            view.scene = board.scene();
        }
        let drawn = terminal.draw(|frame| draw(frame, &view.picture()));
        let screen = drawn.context("cannot draw in this terminal; try --no-tui")?.buffer;
        match view.listen(screen, command)? {
            Some(ended) => return Ok(ended),
            None if done.try_recv() == Err(TryRecvError::Disconnected) => return Ok(Ended::Done),
            None => {}
        }
    }
}

/// Leaves the terminal as it was found.
struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// What is on the screen.
struct View {
    scene: Scene,
    knobs: Knobs,
    paused: bool,
    table_only: bool,
    /// Something to say, and for how many drawings.
    note: Option<(String, u32)>,
    look: Look,
}

impl View {
    fn picture(&self) -> Picture<'_> {
        Picture {
            scene: &self.scene,
            knobs: &self.knobs,
            paused: self.paused,
            table_only: self.table_only,
            note: self.note.as_ref().map(|(note, _)| note.as_str()),
            look: self.look,
        }
    }

    /// Waits until it is time to draw again, and takes what keys are pressed meanwhile.
    fn listen(&mut self, screen: &Buffer, command: &dyn Fn(Command)) -> anyhow::Result<Option<Ended>> {
        self.note = self.note.take().filter(|(_, left)| *left > 0).map(|(note, left)| (note, left - 1));
        if !event::poll(INTERVAL).context("cannot listen to the keyboard")? {
            return Ok(None);
        }
        // Keys may come faster than drawings; all that are there count.
        loop {
            if let Event::Key(key) = event::read().context("cannot listen to the keyboard")?
                && key.kind != KeyEventKind::Release
                && self.press(key, screen, command)
            {
                command(Command::Stop);
                return Ok(Some(Ended::Stopped));
            }
            if !event::poll(Duration::ZERO).context("cannot listen to the keyboard")? {
                return Ok(None);
            }
        }
    }

    /// A key is pressed; whether it is one that ends the view.
    fn press(&mut self, key: KeyEvent, screen: &Buffer, command: &dyn Fn(Command)) -> bool {
        let turn = match key.code {
            KeyCode::Char('c' | 'C') if key.modifiers.contains(KeyModifiers::CONTROL) => return true,
            KeyCode::Char('q' | 'Q') => return true,
            KeyCode::Char(' ') => {
                self.paused = !self.paused;
                return false;
            }
            KeyCode::Char('t' | 'T') => {
                self.table_only = !self.table_only;
                return false;
            }
            KeyCode::Char('s' | 'S') => {
                let note = match save(&self.scene, screen) {
                    Ok(name) => format!("the screen is saved in {name}"),
                    Err(error) => format!("cannot save the screen: {error}"),
                };
                self.note = Some((note, NOTED));
                return false;
            }
            KeyCode::Char('+' | '=') => Turn::MoreLoss,
            KeyCode::Char('-' | '_') => Turn::LessLoss,
            KeyCode::Char('B') => Turn::LongerBursts,
            KeyCode::Char('b') => Turn::ShorterBursts,
            KeyCode::Char(key @ '1'..='8') => Turn::Preset(key),
            KeyCode::Char('F') => Turn::MoreRepair,
            KeyCode::Char('f') => Turn::LessRepair,
            _ => return false,
        };
        if let Some(told) = self.knobs.turn(turn) {
            command(told);
        }
        false
    }
}

/// Writes the screen as text into a new file in the working directory; its name.
fn save(scene: &Scene, screen: &Buffer) -> io::Result<String> {
    let text = text(screen);
    let time = clock(scene.now).replace(':', "-");
    // A name that is taken is never written over.
    for again in 0..100 {
        let number = if again == 0 { String::new() } else { format!("-{again}") };
        let name = format!("fhsim-live-{time}{number}.txt");
        match OpenOptions::new().write(true).create_new(true).open(&name) {
            Ok(mut file) => {
                file.write_all(text.as_bytes())?;
                return Ok(name);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("a hundred screens of this second are there already"))
}

/// The characters of a screen, line by line.
pub(super) fn text(screen: &Buffer) -> String {
    let area = screen.area;
    (area.top()..area.bottom())
        .map(|y| {
            let line: String = (area.left()..area.right()).map(|x| screen[(x, y)].symbol()).collect();
            line.trim_end().to_owned() + "\n"
        })
        .collect()
}

/// Whether stdout can and should have colors: `NO_COLOR` and its kin are heard.
fn has_colors() -> bool {
    anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
}

/// Whether there is a screen to draw on and a keyboard to listen to.
pub(in crate::cli) fn is_at_hand() -> bool {
    io::stdout().is_terminal() && io::stdin().is_terminal()
}
