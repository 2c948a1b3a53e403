//! How the model looks: a title, the list, a line for what is asked or told, a line of keys.

use dwell_core::workspace::Status;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use crate::output::remote::size;

use super::model::{Model, Prompt, Row, Screen, SessionRow, WorkspaceRow};

/// The lines of losses that are shown at most.
const LOSSES: usize = 6;

/// Draws the model.
pub(crate) fn view(model: &Model, frame: &mut Frame<'_>) {
    let below = below(model);
    let height = u16::try_from(below.len()).unwrap_or(1);
    let parts = [
        Constraint::Length(2),
        Constraint::Min(1),
        Constraint::Length(height),
        Constraint::Length(keys_height(model, frame.area().width)),
    ];
    let [title, list, asked, keys] = Layout::vertical(parts).areas(frame.area());
    frame.render_widget(Paragraph::new(heading(model)), title);
    draw_list(model, frame, list);
    frame.render_widget(Paragraph::new(below), asked);
    let dim = Style::new().add_modifier(Modifier::DIM);
    frame.render_widget(Paragraph::new(keys_of(model)).style(dim).wrap(Wrap { trim: false }), keys);
    if let Some(column) = cursor(model) {
        let last = asked.right().saturating_sub(1);
        frame.set_cursor_position((column.min(last), asked.bottom().saturating_sub(1)));
    }
}

fn heading(model: &Model) -> Line<'_> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    match (&model.screen, model.current()) {
        (Screen::Sessions { .. }, Some(it)) => {
            let mut spans = vec![Span::styled(format!(" {}", it.name), bold), Span::raw("  ")];
            spans.extend(status(it));
            spans.push(Span::raw("  sessions"));
            Line::from(spans)
        }
        _ => Line::from(Span::styled(" Workspaces", bold)),
    }
}

fn draw_list(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let rows = model.rows();
    let selected = model.selected();
    let width = rows.iter().map(|row| name(row).chars().count()).max().unwrap_or(0).clamp(8, 32);
    let heights: Vec<u16> = rows.iter().map(|row| lines(row, width).len() as u16).collect();
    let first = first_shown(&heights, selected, area.height);
    let mut all: Vec<Line<'_>> = Vec::new();
    let waits = match model.screen {
        Screen::Workspaces => !model.loaded,
        Screen::Sessions { .. } => model.sessions.is_none(),
    };
    if waits {
        all.push(Line::raw("   …"));
    }
    for (place, row) in rows.iter().enumerate().skip(first) {
        let chosen = place == selected;
        for (number, line) in lines(row, width).into_iter().enumerate() {
            let mark = if chosen && number == 0 { " ▸ " } else { "   " };
            let mut line = line;
            line.spans.insert(0, Span::raw(mark));
            if chosen {
                line = line.style(Style::new().add_modifier(Modifier::REVERSED));
            }
            all.push(line);
        }
    }
    frame.render_widget(Paragraph::new(all), area);
}

/// The first row that is drawn, so that the selected one is seen whole.
fn first_shown(heights: &[u16], selected: usize, room: u16) -> usize {
    let mut used = 0;
    let up_to = heights.get(..=selected).unwrap_or(heights);
    for (place, height) in up_to.iter().enumerate().rev() {
        used += height;
        if used > room {
            return (place + 1).min(selected);
        }
    }
    0
}

fn name<'a>(row: &Row<'a>) -> &'a str {
    match row {
        Row::Workspace(it) => &it.name,
        Row::Session(it) => &it.name,
        Row::NewWorkspace => "+ New workspace",
        Row::NewSession => "+ New session",
        Row::Back => "← Back",
    }
}

/// Names are filled up to a width, and cut there.
fn padded(text: &str, width: usize) -> String {
    let cut: String = text.chars().take(width).collect();
    format!("{cut:<width$}")
}

fn lines<'a>(row: &Row<'a>, width: usize) -> Vec<Line<'a>> {
    match row {
        Row::Workspace(it) => vec![workspace(it, width)],
        Row::Session(it) => session(it, width),
        other => vec![Line::raw(name(other))],
    }
}

fn workspace(it: &WorkspaceRow, width: usize) -> Line<'_> {
    let mut spans = vec![Span::raw(padded(&it.name, width)), Span::raw("  ")];
    spans.extend(status(it));
    let word = if it.away { "away" } else { it.status.as_str() };
    spans.push(Span::raw(" ".repeat(11_usize.saturating_sub(word.len()))));
    let taken = it.size.map(size).unwrap_or_default();
    spans.push(Span::raw(format!("{taken:>8}")));
    let sessions = match it.sessions {
        0 => String::new(),
        1 => "1 session".to_owned(),
        many => format!("{many} sessions"),
    };
    spans.push(Span::raw(format!("   {sessions:<12}")));
    if let Some(node) = &it.node {
        spans.push(Span::raw(format!("on {node}")));
    }
    Line::from(spans)
}

fn status(it: &WorkspaceRow) -> [Span<'_>; 2] {
    let (mark, colour) = match it.status {
        _ if it.away => ("◌", Color::DarkGray),
        Status::Running => ("●", Color::Green),
        Status::Frozen => ("◐", Color::Blue),
        Status::Stopped => ("○", Color::Reset),
        _ => ("◌", Color::Yellow),
    };
    let word = if it.away { "away" } else { it.status.as_str() };
    [Span::styled(format!("{mark} "), Style::new().fg(colour)), Span::raw(word)]
}

fn session(it: &SessionRow, width: usize) -> Vec<Line<'_>> {
    let (mark, word, colour) = match (it.status.as_str(), it.attached) {
        ("running", 0) => ("○", "detached", Color::Reset),
        ("running", _) => ("●", "attached", Color::Green),
        (other, _) => ("✕", other, Color::DarkGray),
    };
    let first = vec![
        Span::raw(padded(&it.name, width)),
        Span::styled(format!("  {mark} "), Style::new().fg(colour)),
        Span::raw(format!("{word:<10}")),
        Span::raw(it.agent.clone().unwrap_or_default()),
    ];
    let mut told = Vec::new();
    if let Some(windows) = it.windows {
        told.push(match windows {
            1 => "1 window".to_owned(),
            many => format!("{many} windows"),
        });
    }
    if it.attached > 1 {
        told.push(format!("{} terminals", it.attached));
    }
    told.push(format!("began {} ago", it.created));
    told.push(it.command.clone());
    let second =
        Span::styled(format!("  {}", told.join(" · ")), Style::new().add_modifier(Modifier::DIM));
    vec![Line::from(first), Line::from(second)]
}

/// What is asked or told below the list.
fn below(model: &Model) -> Vec<Line<'_>> {
    let warning = Style::new().fg(Color::Red);
    let mut all = vec![Line::raw("")];
    if let Some(message) = &model.message {
        let style = if message.is_error { warning } else { Style::new() };
        all.push(Line::styled(format!(" {}", message.text), style));
    }
    match &model.prompt {
        Some(Prompt::Destroy { id, losses, .. }) => {
            let name = model.find(id).map_or("", |it| it.name.as_str());
            all.push(Line::styled(
                format!(" `{name}` is about to go; its home is kept for 7 days"),
                warning,
            ));
            all.extend(losses.iter().take(LOSSES).map(|line| Line::raw(format!("   {line}"))));
            if losses.len() > LOSSES {
                all.push(Line::raw(format!("   and {} more", losses.len() - LOSSES)));
            }
            all.push(Line::raw(asked(model)));
        }
        Some(_) => all.push(Line::raw(asked(model))),
        None => {
            if let Some(busy) = &model.busy {
                all.push(Line::raw(format!(" {busy} …")));
            } else if !model.filter.is_empty() {
                all.push(Line::raw(format!(" /{}", model.filter)));
            }
        }
    }
    all
}

/// The line in which something is typed.
fn asked(model: &Model) -> String {
    match &model.prompt {
        Some(Prompt::NewWorkspace { text }) => format!(" name of the new workspace: {text}"),
        Some(Prompt::NewSession { text }) => {
            format!(" session, and its command (claude): {text}")
        }
        Some(Prompt::Filter) => format!(" /{}", model.filter),
        Some(Prompt::Destroy { text, .. }) => format!(" type yes to destroy it: {text}"),
        Some(Prompt::EndSession { name }) => {
            format!(" end session `{name}` and its command? y/N ")
        }
        None => String::new(),
    }
}

fn cursor(model: &Model) -> Option<u16> {
    model.prompt.as_ref()?;
    u16::try_from(asked(model).chars().count()).ok()
}

fn keys_of(model: &Model) -> &'static str {
    match (&model.prompt, &model.screen) {
        (Some(Prompt::Filter), _) => " type to filter · ↑/↓ move · enter keep · esc show all",
        (Some(_), _) => " enter do it · esc leave it",
        (None, Screen::Workspaces) => {
            " ↑/↓ move · enter open · n new · s stop/start · d destroy · / filter · q quit"
        }
        (None, Screen::Sessions { .. }) => {
            " ↑/↓ move · enter attach · n new · x end · / filter · esc back · q quit"
        }
    }
}

fn keys_height(model: &Model, width: u16) -> u16 {
    let length = keys_of(model).chars().count();
    u16::try_from(length.div_ceil(usize::from(width.max(1)))).unwrap_or(1)
}
