//! What happens: each key and each piece of news changes the screen and may ask for something.

use dwell_core::WorkspaceName;
use dwell_core::agent::Agent;
use dwell_core::workspace::Status;

use super::model::{Choice, Message, Model, Prompt, Row, Screen, SessionRow, WorkspaceRow};

/// How far a page goes.
const PAGE: usize = 10;
/// What a new session is called when nothing is typed.
const DEFAULT_SESSION: &str = "claude";

/// A key, whatever the terminal sends for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Erase,
    Interrupt,
    Char(char),
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    Key(Key),
    /// The workspaces as they are now.
    Workspaces(Vec<WorkspaceRow>),
    /// The sessions of a workspace as they are now.
    Sessions {
        of: String,
        sessions: Vec<SessionRow>,
    },
    /// What destroying a workspace would lose.
    Losses {
        id: String,
        losses: Vec<String>,
    },
    /// A workspace is there and runs; its sessions are to be shown.
    Ready {
        id: String,
    },
    /// What was to be done is done, or a terminal came back.
    Done(String),
    /// Something did not work.
    Failed(String),
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    Nothing,
    Quit,
    Create {
        name: WorkspaceName,
    },
    /// Start a workspace and show its sessions.
    Open {
        id: String,
    },
    Start {
        id: String,
    },
    Stop {
        id: String,
    },
    AskLosses {
        id: String,
    },
    Destroy {
        id: String,
    },
    Attach {
        workspace: String,
        session: String,
    },
    NewSession {
        workspace: String,
        name: String,
        command: Vec<String>,
    },
    EndSession {
        workspace: String,
        session: String,
    },
}

/// Takes in what happened.
pub(crate) fn update(model: &mut Model, input: Input) -> Effect {
    match input {
        Input::Key(key) => {
            if key == Key::Interrupt {
                return Effect::Quit;
            }
            match model.prompt.take() {
                Some(prompt) => in_prompt(model, prompt, key),
                None => {
                    model.message = None;
                    in_list(model, key)
                }
            }
        }
        Input::Workspaces(workspaces) => {
            renew(model, workspaces);
            Effect::Nothing
        }
        Input::Sessions { of, sessions } => {
            if model.screen == (Screen::Sessions { of }) {
                model.sessions = Some(sessions);
            }
            Effect::Nothing
        }
        Input::Losses { id, losses } => {
            model.busy = None;
            model.prompt = Some(Prompt::Destroy { id, losses, text: String::new() });
            Effect::Nothing
        }
        Input::Ready { id } => {
            model.busy = None;
            open(model, id)
        }
        Input::Done(text) => told(model, text, false),
        Input::Failed(text) => told(model, text, true),
    }
}

fn told(model: &mut Model, text: String, is_error: bool) -> Effect {
    model.busy = None;
    model.message = (!text.is_empty()).then_some(Message { text, is_error });
    Effect::Nothing
}

/// The selection stays where it was; where its row went, on the one that came into its place.
fn renew(model: &mut Model, workspaces: Vec<WorkspaceRow>) {
    let place = model.selected();
    let sizes: Vec<(String, Option<u64>)> =
        model.workspaces.iter().map(|it| (it.id.clone(), it.size)).collect();
    let was_new = model.workspace.as_deref() == Some("");
    model.workspaces = workspaces;
    for row in &mut model.workspaces {
        let known = sizes.iter().find(|(id, _)| *id == row.id);
        row.size = row.size.or(known.and_then(|(_, size)| *size));
    }
    model.loaded = true;
    match &model.screen {
        Screen::Workspaces => {
            let there = model.workspace.as_ref().is_some_and(|id| model.find(id).is_some());
            if !there && !was_new {
                model.select(place);
            }
        }
        Screen::Sessions { of } => {
            if model.find(of).is_none() {
                model.screen = Screen::Workspaces;
                model.filter.clear();
                told(model, "the workspace is gone".to_owned(), true);
            }
        }
    }
}

fn in_list(model: &mut Model, key: Key) -> Effect {
    let (place, last) = (model.selected(), model.rows().len().saturating_sub(1));
    match key {
        Key::Up | Key::Char('k') => model.select(place.checked_sub(1).unwrap_or(last)),
        Key::Down | Key::Char('j') => model.select(if place == last { 0 } else { place + 1 }),
        Key::PageUp => model.select(place.saturating_sub(PAGE)),
        Key::PageDown => model.select((place + PAGE).min(last)),
        Key::Home | Key::Char('g') => model.select(0),
        Key::End | Key::Char('G') => model.select(last),
        Key::Char('q') => return Effect::Quit,
        Key::Char('/') => model.prompt = Some(Prompt::Filter),
        Key::Escape if !model.filter.is_empty() => model.filter.clear(),
        Key::Escape if model.screen == Screen::Workspaces => return Effect::Quit,
        Key::Escape => back(model),
        // One thing at a time.
        _ if model.busy.is_some() => {}
        Key::Enter => return enter(model),
        Key::Char('n') => model.prompt = Some(new(model)),
        Key::Char('s') => return start_or_stop(model),
        Key::Char('d') if model.screen == Screen::Workspaces => return destroy(model),
        Key::Char('x') => end_session(model),
        _ => {}
    }
    Effect::Nothing
}

fn new(model: &Model) -> Prompt {
    match model.screen {
        Screen::Workspaces => Prompt::NewWorkspace { text: String::new() },
        Screen::Sessions { .. } => Prompt::NewSession { text: String::new() },
    }
}

fn back(model: &mut Model) {
    model.screen = Screen::Workspaces;
    model.sessions = None;
    model.session = Choice::First;
    model.filter.clear();
}

fn open(model: &mut Model, id: String) -> Effect {
    model.screen = Screen::Sessions { of: id.clone() };
    model.workspace = Some(id.clone());
    model.sessions = None;
    model.session = Choice::First;
    model.filter.clear();
    Effect::Nothing
}

fn enter(model: &mut Model) -> Effect {
    enum Chosen {
        Workspace(WorkspaceRow),
        Session(SessionRow),
        New,
        Back,
    }
    let rows = model.rows();
    let chosen = match rows.get(model.selected()) {
        Some(Row::Workspace(it)) => Chosen::Workspace((*it).clone()),
        Some(Row::Session(it)) => Chosen::Session((*it).clone()),
        Some(Row::NewWorkspace | Row::NewSession) => Chosen::New,
        Some(Row::Back) => Chosen::Back,
        None => return Effect::Nothing,
    };
    match chosen {
        Chosen::Workspace(it) => match it.status {
            _ if it.away => told(model, format!("the node of `{}` is away", it.name), true),
            // To look wakes nothing; a frozen one is woken by what is done in it.
            Status::Running | Status::Frozen => open(model, it.id),
            Status::Stopped | Status::Missing => {
                model.busy = Some(format!("starting `{}`", it.name));
                Effect::Open { id: it.id }
            }
            other => told(model, format!("`{}` is {}", it.name, other.as_str()), true),
        },
        Chosen::Session(it) if it.status == "running" => attach(model, it.name),
        Chosen::Session(it) => {
            told(model, format!("session `{}` does not run any more; n begins one", it.name), true)
        }
        Chosen::New => {
            model.prompt = Some(new(model));
            Effect::Nothing
        }
        Chosen::Back => {
            back(model);
            Effect::Nothing
        }
    }
}

fn attach(model: &Model, session: String) -> Effect {
    match model.current() {
        Some(it) => Effect::Attach { workspace: it.id.clone(), session },
        None => Effect::Nothing,
    }
}

fn start_or_stop(model: &mut Model) -> Effect {
    let Some(it) = model.current().cloned() else { return Effect::Nothing };
    match it.status {
        _ if it.away => told(model, format!("the node of `{}` is away", it.name), true),
        Status::Running => {
            model.busy = Some(format!("stopping `{}`", it.name));
            Effect::Stop { id: it.id }
        }
        Status::Frozen | Status::Stopped | Status::Missing => {
            model.busy = Some(format!("starting `{}`", it.name));
            Effect::Start { id: it.id }
        }
        other => told(model, format!("`{}` is {}", it.name, other.as_str()), true),
    }
}

fn destroy(model: &mut Model) -> Effect {
    let Some(it) = model.current().cloned() else { return Effect::Nothing };
    if it.away {
        return told(model, format!("the node of `{}` is away", it.name), true);
    }
    model.busy = Some(format!("looking at what `{}` would lose", it.name));
    Effect::AskLosses { id: it.id }
}

fn end_session(model: &mut Model) {
    let name = match model.rows().get(model.selected()) {
        Some(Row::Session(it)) if it.status == "running" => it.name.clone(),
        _ => return,
    };
    model.prompt = Some(Prompt::EndSession { name });
}

fn in_prompt(model: &mut Model, prompt: Prompt, key: Key) -> Effect {
    match prompt {
        Prompt::Filter => filter(model, key),
        Prompt::EndSession { name } => match (key, model.current().map(|it| it.id.clone())) {
            (Key::Char('y' | 'Y'), Some(workspace)) => {
                model.busy = Some(format!("ending session `{name}`"));
                Effect::EndSession { workspace, session: name }
            }
            _ => Effect::Nothing,
        },
        Prompt::NewWorkspace { text } => match typed(text, key) {
            Typed::Goes(text) => ask(model, Prompt::NewWorkspace { text }),
            Typed::Left => Effect::Nothing,
            Typed::Entered(text) => create(model, text),
        },
        Prompt::NewSession { text } => match typed(text, key) {
            Typed::Goes(text) => ask(model, Prompt::NewSession { text }),
            Typed::Left => Effect::Nothing,
            Typed::Entered(text) => begin(model, text),
        },
        Prompt::Destroy { id, losses, text } => match typed(text, key) {
            Typed::Goes(text) => ask(model, Prompt::Destroy { id, losses, text }),
            Typed::Entered(text) if text.trim() == "yes" => {
                model.busy = Some("destroying".to_owned());
                Effect::Destroy { id }
            }
            Typed::Left | Typed::Entered(_) => {
                told(model, "nothing was destroyed".to_owned(), false)
            }
        },
    }
}

fn ask(model: &mut Model, prompt: Prompt) -> Effect {
    model.prompt = Some(prompt);
    Effect::Nothing
}

enum Typed {
    Goes(String),
    Left,
    Entered(String),
}

fn typed(mut text: String, key: Key) -> Typed {
    match key {
        Key::Enter => return Typed::Entered(text),
        Key::Escape => return Typed::Left,
        Key::Erase => drop(text.pop()),
        Key::Char(c) if !c.is_control() => text.push(c),
        _ => {}
    }
    Typed::Goes(text)
}

fn filter(model: &mut Model, key: Key) -> Effect {
    match typed(std::mem::take(&mut model.filter), key) {
        Typed::Goes(text) => {
            model.filter = text;
            match key {
                Key::Up | Key::Down | Key::PageUp | Key::PageDown => {
                    let effect = in_list(model, key);
                    model.prompt = Some(Prompt::Filter);
                    return effect;
                }
                _ => model.select(0),
            }
            ask(model, Prompt::Filter)
        }
        Typed::Left => Effect::Nothing,
        Typed::Entered(text) => {
            model.filter = text;
            Effect::Nothing
        }
    }
}

fn create(model: &mut Model, text: String) -> Effect {
    if text.trim().is_empty() {
        return Effect::Nothing;
    }
    match text.trim().parse::<WorkspaceName>() {
        Ok(name) if model.workspaces.iter().any(|it| it.name == name.as_str()) => {
            let effect = told(model, format!("workspace `{name}` exists already"), true);
            model.prompt = Some(Prompt::NewWorkspace { text });
            effect
        }
        Ok(name) => {
            model.busy = Some(format!("making `{name}`"));
            Effect::Create { name }
        }
        Err(error) => {
            let effect = told(model, error.to_string(), true);
            model.prompt = Some(Prompt::NewWorkspace { text });
            effect
        }
    }
}

/// `NAME [COMMAND...]`; a name alone that is an agent's runs that, any other one a shell.
fn begin(model: &mut Model, text: String) -> Effect {
    let mut words = text.split_whitespace().map(str::to_owned);
    let name = words.next().unwrap_or_else(|| DEFAULT_SESSION.to_owned());
    let mut command: Vec<String> = words.collect();
    if let Err(error) = name.parse::<dwell_core::SessionName>() {
        let effect = told(model, error.to_string(), true);
        model.prompt = Some(Prompt::NewSession { text });
        return effect;
    }
    let same = |it: &SessionRow| it.name == name && it.status == "running";
    if model.sessions.iter().flatten().any(same) {
        return attach(model, name);
    }
    if command.is_empty() && Agent::all().iter().any(|agent| agent.name == name) {
        command.push(name.clone());
    }
    match model.current() {
        Some(it) => Effect::NewSession { workspace: it.id.clone(), name, command },
        None => Effect::Nothing,
    }
}
