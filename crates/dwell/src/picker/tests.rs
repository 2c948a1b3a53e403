//! Every key, and how each screen looks at 80 columns and 24 rows.

use dwell_core::workspace::Status;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::model::{Message, Prompt, Screen};
use super::*;

fn workspace(name: &str, status: Status) -> WorkspaceRow {
    WorkspaceRow {
        id: format!("id-{name}"),
        name: name.to_owned(),
        status,
        node: None,
        away: false,
        size: None,
        sessions: 0,
    }
}

fn session(name: &str, status: &str, attached: u32) -> SessionRow {
    SessionRow {
        name: name.to_owned(),
        status: status.to_owned(),
        attached,
        windows: None,
        created: "3h".to_owned(),
        agent: None,
        command: "npm run dev".to_owned(),
    }
}

fn workspaces() -> Vec<WorkspaceRow> {
    let backend = WorkspaceRow {
        size: Some(3_200_000_000),
        sessions: 2,
        ..workspace("backend", Status::Running)
    };
    let far = WorkspaceRow { node: Some("staging".into()), ..workspace("lab", Status::Frozen) };
    vec![backend, far, workspace("mobile-app", Status::Stopped)]
}

/// A screen with three workspaces.
fn model() -> Model {
    let mut model = Model::new();
    update(&mut model, Input::Workspaces(workspaces()));
    model
}

/// The sessions of the first workspace.
fn sessions() -> Model {
    let mut model = model();
    press(&mut model, &[Key::Enter]);
    let claude = SessionRow {
        agent: Some("claude: needs input".into()),
        windows: Some(2),
        command: "claude".into(),
        ..session("claude", "running", 1)
    };
    let all = vec![claude, session("server", "running", 0), session("old", "lost", 0)];
    update(&mut model, Input::Sessions { of: "id-backend".into(), sessions: all });
    model
}

/// Presses keys one after the other; gives what the last one asks for.
fn press(model: &mut Model, keys: &[Key]) -> Effect {
    let mut last = Effect::Nothing;
    for key in keys {
        last = update(model, Input::Key(*key));
    }
    last
}

fn write(model: &mut Model, text: &str) -> Effect {
    let keys: Vec<Key> = text.chars().map(Key::Char).chain([Key::Enter]).collect();
    press(model, &keys)
}

fn screen_of(model: &Model, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view(model, frame)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    let lines: Vec<String> = (0..height).map(|y| row(y).trim_end().to_owned()).collect();
    lines.join("\n").trim_end().to_owned()
}

#[test]
fn the_workspaces_are_seen() {
    insta::assert_snapshot!(screen_of(&model(), 80, 24), @r"
     Workspaces

     ▸ backend          ● running     2.9 GiB   2 sessions
       lab              ◐ frozen                            on staging
       mobile-app       ○ stopped
       + New workspace

















     ↑/↓ move · enter open · n new · s stop/start · d destroy · / filter · q quit
    ");
    let mut dialog = model();
    press(&mut dialog, &[Key::Char('d')]);
    let losses = vec!["running: npm run dev".into(), "/home/dev/a: 2 uncommitted files".into()];
    update(&mut dialog, Input::Losses { id: "id-backend".into(), losses });
    insta::assert_snapshot!(screen_of(&dialog, 80, 14), @r"
     Workspaces

     ▸ backend          ● running     2.9 GiB   2 sessions
       lab              ◐ frozen                            on staging
       mobile-app       ○ stopped
       + New workspace



     `backend` is about to go; its home is kept for 7 days
       running: npm run dev
       /home/dev/a: 2 uncommitted files
     type yes to destroy it:
     enter do it · esc leave it
    ");
    insta::assert_snapshot!(screen_of(&Model::new(), 80, 8), @r"
     Workspaces

       …
     ▸ + New workspace



     ↑/↓ move · enter open · n new · s stop/start · d destroy · / filter · q quit
    ");
}

#[test]
fn the_sessions_are_seen() {
    insta::assert_snapshot!(screen_of(&sessions(), 80, 24), @r"
     backend  ● running  sessions

     ▸ claude         ● attached  claude: needs input
         2 windows · began 3h ago · claude
       server         ○ detached
         began 3h ago · npm run dev
       old            ✕ lost
         began 3h ago · npm run dev
       + New session
       ← Back













     ↑/↓ move · enter attach · n new · x end · / filter · esc back · q quit
    ");
}

#[test]
fn any_size_can_be_drawn_and_the_selected_row_is_on_it() {
    let mut many = Model::new();
    let row = |number: usize| workspace(&format!("ws-{number:02}"), Status::Running);
    update(&mut many, Input::Workspaces((0..50).map(row).collect()));
    for place in [0, 9, 30, 49] {
        many.select(place);
        let text = screen_of(&many, 80, 24);
        assert!(text.contains(&format!("▸ ws-{place:02}")), "{text}");
    }
    for (width, height) in [(1, 1), (2, 3), (20, 5), (300, 100)] {
        screen_of(&many, width, height);
        screen_of(&sessions(), width, height);
    }
}

#[test]
fn arrows_and_letters_move_round() {
    let mut it = model();
    let at = |model: &Model| model.selected();
    assert_eq!(at(&it), 0);
    press(&mut it, &[Key::Down]);
    assert_eq!(at(&it), 1);
    press(&mut it, &[Key::Char('j'), Key::Char('j')]);
    assert_eq!(at(&it), 3, "a new one is the last row");
    press(&mut it, &[Key::Down]);
    assert_eq!(at(&it), 0);
    press(&mut it, &[Key::Up]);
    assert_eq!(at(&it), 3);
    press(&mut it, &[Key::Char('k')]);
    assert_eq!(at(&it), 2);
    press(&mut it, &[Key::Home]);
    assert_eq!(at(&it), 0);
    press(&mut it, &[Key::End]);
    assert_eq!(at(&it), 3);
    press(&mut it, &[Key::PageUp, Key::Char('G'), Key::Char('g')]);
    assert_eq!(at(&it), 0);
}

#[test]
fn the_selection_stays_on_its_row_while_rows_come_and_go() {
    let mut it = model();
    press(&mut it, &[Key::Down]);
    let mut more = workspaces();
    more.insert(0, workspace("another", Status::Running));
    update(&mut it, Input::Workspaces(more));
    assert_eq!(it.current().unwrap().name, "lab");
    assert_eq!(it.find("id-backend").unwrap().size, Some(3_200_000_000), "a size stays known");
    let less =
        vec![workspace("another", Status::Running), workspace("mobile-app", Status::Stopped)];
    update(&mut it, Input::Workspaces(less));
    assert!(it.selected() <= 2);
    press(&mut it, &[Key::Char('G')]);
    update(&mut it, Input::Workspaces(workspaces()));
    assert_eq!(it.selected(), 3, "the row for a new one stays selected");
}

#[test]
fn enter_opens_what_runs_and_starts_what_does_not() {
    let mut it = model();
    assert_eq!(press(&mut it, &[Key::Enter]), Effect::Nothing);
    assert_eq!(it.watched().as_deref(), Some("id-backend"));
    press(&mut it, &[Key::Escape]);
    assert_eq!(it.screen, Screen::Workspaces);
    assert_eq!(it.current().unwrap().name, "backend", "the list is as it was left");
    let open = press(&mut it, &[Key::Down, Key::Down, Key::Enter]);
    assert_eq!(open, Effect::Open { id: "id-mobile-app".into() });
    assert!(it.busy.is_some());
    assert_eq!(press(&mut it, &[Key::Enter]), Effect::Nothing, "one thing at a time");
    update(&mut it, Input::Ready { id: "id-mobile-app".into() });
    assert_eq!(it.watched().as_deref(), Some("id-mobile-app"));
    assert_eq!(it.busy, None);
}

#[test]
fn a_session_is_attached_to_and_the_list_is_back_after_it() {
    let mut it = sessions();
    let attach = Effect::Attach { workspace: "id-backend".into(), session: "server".into() };
    assert_eq!(press(&mut it, &[Key::Down, Key::Enter]), attach);
    update(&mut it, Input::Done("session server goes on".into()));
    assert_eq!(it.watched().as_deref(), Some("id-backend"));
    assert_eq!(it.selected(), 1);
    press(&mut it, &[Key::Down, Key::Enter]);
    assert!(it.message.as_ref().unwrap().is_error, "a lost one cannot be attached to");
    press(&mut it, &[Key::Down, Key::Down, Key::Enter]);
    assert_eq!(it.screen, Screen::Workspaces, "the last row leads back");
}

#[test]
fn n_makes_a_workspace_or_a_session() {
    let mut it = model();
    press(&mut it, &[Key::Char('n')]);
    let create = write(&mut it, "box");
    assert_eq!(create, Effect::Create { name: "box".parse().unwrap() });
    it.busy = None;
    press(&mut it, &[Key::Char('n')]);
    assert_eq!(write(&mut it, "backend"), Effect::Nothing);
    assert!(it.message.as_ref().unwrap().text.contains("exists"), "{it:?}");
    press(&mut it, &[Key::Escape, Key::Char('n')]);
    assert_eq!(write(&mut it, "/"), Effect::Nothing);
    assert!(it.message.as_ref().unwrap().is_error);
    press(&mut it, &[Key::Escape, Key::Char('G'), Key::Enter]);
    assert!(matches!(it.prompt, Some(Prompt::NewWorkspace { .. })), "the last row asks too");

    let new = |name: &str, command: &[&str]| Effect::NewSession {
        workspace: "id-backend".into(),
        name: name.into(),
        command: command.iter().map(|word| (*word).to_owned()).collect(),
    };
    for (text, wanted) in [
        ("codex", new("codex", &["codex"])),
        ("build", new("build", &[])),
        ("web npm run dev", new("web", &["npm", "run", "dev"])),
        ("old", new("old", &[])),
        ("", Effect::Attach { workspace: "id-backend".into(), session: "claude".into() }),
    ] {
        let mut it = sessions();
        press(&mut it, &[Key::Char('n')]);
        assert_eq!(write(&mut it, text), wanted, "{text}");
    }
    let mut erased = sessions();
    press(&mut erased, &[Key::Char('n'), Key::Char('a'), Key::Char('b'), Key::Erase]);
    assert_eq!(press(&mut erased, &[Key::Enter]), new("a", &[]));
}

#[test]
fn s_stops_and_starts() {
    let mut it = model();
    assert_eq!(press(&mut it, &[Key::Char('s')]), Effect::Stop { id: "id-backend".into() });
    it.busy = None;
    for _ in 0..2 {
        let id = press_and_current(&mut it);
        assert_eq!(press(&mut it, &[Key::Char('s')]), Effect::Start { id });
        it.busy = None;
    }
    press(&mut it, &[Key::Down]);
    assert_eq!(press(&mut it, &[Key::Char('s')]), Effect::Nothing, "no workspace is selected");
}

fn press_and_current(model: &mut Model) -> String {
    press(model, &[Key::Down]);
    model.current().unwrap().id.clone()
}

#[test]
fn d_destroys_after_yes_only() {
    let mut it = model();
    let id = || "id-backend".to_owned();
    assert_eq!(press(&mut it, &[Key::Char('d')]), Effect::AskLosses { id: id() });
    update(&mut it, Input::Losses { id: id(), losses: vec!["running: claude".into()] });
    assert_eq!(write(&mut it, "no"), Effect::Nothing);
    let told = Message { text: "nothing was destroyed".into(), is_error: false };
    assert_eq!(it.message, Some(told));
    update(&mut it, Input::Losses { id: id(), losses: Vec::new() });
    assert_eq!(press(&mut it, &[Key::Enter]), Effect::Nothing);
    update(&mut it, Input::Losses { id: id(), losses: Vec::new() });
    press(&mut it, &[Key::Char('y'), Key::Escape]);
    assert_eq!(it.prompt, None);
    update(&mut it, Input::Losses { id: id(), losses: Vec::new() });
    assert_eq!(write(&mut it, "yes"), Effect::Destroy { id: id() });
    assert_eq!(press(&mut sessions(), &[Key::Char('d')]), Effect::Nothing);
}

#[test]
fn x_ends_a_session_after_y_only() {
    let mut it = sessions();
    press(&mut it, &[Key::Down, Key::Char('x')]);
    assert_eq!(press(&mut it, &[Key::Char('n')]), Effect::Nothing);
    assert_eq!(it.prompt, None);
    let end = Effect::EndSession { workspace: "id-backend".into(), session: "server".into() };
    assert_eq!(press(&mut it, &[Key::Char('x'), Key::Char('y')]), end);
    assert_eq!(press(&mut model(), &[Key::Char('x')]), Effect::Nothing);
}

#[test]
fn a_filter_narrows_and_escape_takes_it_back() {
    let mut it = model();
    press(&mut it, &[Key::Char('/'), Key::Char('M'), Key::Char('o')]);
    assert_eq!(it.current().unwrap().name, "mobile-app");
    assert_eq!(it.rows().len(), 2);
    // q and j are letters there.
    press(&mut it, &[Key::Char('q'), Key::Char('j')]);
    assert_eq!(it.rows().len(), 1);
    press(&mut it, &[Key::Erase, Key::Erase, Key::Enter]);
    assert_eq!((it.filter.as_str(), it.prompt.clone()), ("Mo", None));
    assert_eq!(press(&mut it, &[Key::Escape]), Effect::Nothing);
    assert_eq!((it.rows().len(), it.filter.as_str()), (4, ""));
    press(&mut it, &[Key::Char('/'), Key::Char('b'), Key::Escape]);
    assert_eq!((it.rows().len(), it.prompt.clone()), (4, None));
}

#[test]
fn q_escape_and_interrupts_leave() {
    assert_eq!(press(&mut model(), &[Key::Char('q')]), Effect::Quit);
    assert_eq!(press(&mut model(), &[Key::Escape]), Effect::Quit);
    assert_eq!(press(&mut sessions(), &[Key::Char('q')]), Effect::Quit);
    let mut asked = model();
    assert_eq!(press(&mut asked, &[Key::Char('n'), Key::Interrupt]), Effect::Quit);
    let mut busy = model();
    press(&mut busy, &[Key::Char('s')]);
    assert_eq!(press(&mut busy, &[Key::Char('q')]), Effect::Quit);
}

#[test]
fn what_is_away_or_gone_is_told() {
    let mut it = Model::new();
    let away = WorkspaceRow { away: true, ..workspace("lab", Status::Running) };
    update(&mut it, Input::Workspaces(vec![away]));
    for key in [Key::Enter, Key::Char('s'), Key::Char('d')] {
        assert_eq!(press(&mut it, &[key]), Effect::Nothing);
        assert!(it.message.as_ref().unwrap().text.contains("away"), "{it:?}");
    }
    let mut gone = sessions();
    update(&mut gone, Input::Workspaces(Vec::new()));
    assert_eq!(gone.screen, Screen::Workspaces);
    assert!(gone.message.as_ref().unwrap().is_error);
    update(&mut gone, Input::Failed("no answer".into()));
    assert_eq!(gone.message.unwrap().text, "no answer");
}
