//! What is on the screen.

use dwell_core::workspace::Status;

/// A workspace in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkspaceRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) status: Status,
    /// The node that holds it, where that is another one.
    pub(crate) node: Option<String>,
    /// Whether its node is away, so that it is shown as last seen.
    pub(crate) away: bool,
    /// What it takes on the disk, in bytes, once that is known.
    pub(crate) size: Option<u64>,
    /// How many of its sessions run.
    pub(crate) sessions: usize,
}

/// A session in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionRow {
    pub(crate) name: String,
    /// `running`, `ended` or `lost`.
    pub(crate) status: String,
    /// Terminals that are attached to it.
    pub(crate) attached: u32,
    /// How many windows it has, where that is known.
    pub(crate) windows: Option<u32>,
    /// When it began, as people read it.
    pub(crate) created: String,
    /// Its agent and what that is doing, where it has one.
    pub(crate) agent: Option<String>,
    pub(crate) command: String,
}

/// Which of the two lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Screen {
    Workspaces,
    Sessions {
        /// The workspace's identity.
        of: String,
    },
}

/// What is asked below the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Prompt {
    NewWorkspace { text: String },
    NewSession { text: String },
    Filter,
    Destroy { id: String, losses: Vec<String>, text: String },
    EndSession { name: String },
}

/// Everything on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) screen: Screen,
    pub(crate) workspaces: Vec<WorkspaceRow>,
    pub(crate) sessions: Option<Vec<SessionRow>>,
    /// The selected row of each list, by name or identity; rows come and go.
    pub(crate) workspace: Option<String>,
    pub(crate) session: Choice,
    pub(crate) filter: String,
    pub(crate) prompt: Option<Prompt>,
    /// What is being done.
    pub(crate) busy: Option<String>,
    pub(crate) message: Option<Message>,
    /// Whether the list of workspaces was seen at all.
    pub(crate) loaded: bool,
}

/// What is selected among sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    First,
    Session(String),
    New,
    Back,
}

/// What there is to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) text: String,
    pub(crate) is_error: bool,
}

/// A row that can be selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Row<'a> {
    Workspace(&'a WorkspaceRow),
    NewWorkspace,
    Session(&'a SessionRow),
    NewSession,
    Back,
}

impl Model {
    /// The first screen, before anything is known.
    pub(crate) fn new() -> Self {
        Self {
            screen: Screen::Workspaces,
            workspaces: Vec::new(),
            sessions: None,
            workspace: None,
            session: Choice::First,
            filter: String::new(),
            prompt: None,
            busy: None,
            message: None,
            loaded: false,
        }
    }

    /// The rows of the present list, as far as they pass the filter.
    pub(crate) fn rows(&self) -> Vec<Row<'_>> {
        let filter = self.filter.to_lowercase();
        let passes = |name: &str| name.to_lowercase().contains(&filter);
        match self.screen {
            Screen::Workspaces => {
                let all = self.workspaces.iter().filter(|it| passes(&it.name));
                all.map(Row::Workspace).chain([Row::NewWorkspace]).collect()
            }
            Screen::Sessions { .. } => {
                let all = self.sessions.iter().flatten().filter(|it| passes(&it.name));
                all.map(Row::Session).chain([Row::NewSession, Row::Back]).collect()
            }
        }
    }

    /// Which row is selected.
    pub(crate) fn selected(&self) -> usize {
        let is_it = |row: &Row<'_>| match (row, &self.session) {
            (Row::Workspace(it), _) => self.workspace.as_ref() == Some(&it.id),
            (Row::NewWorkspace, _) => self.workspace.as_deref() == Some(""),
            (Row::Session(it), Choice::Session(name)) => it.name == *name,
            (Row::NewSession, Choice::New) | (Row::Back, Choice::Back) => true,
            _ => false,
        };
        self.rows().iter().position(is_it).unwrap_or(0)
    }

    /// Selects a row by its place.
    pub(crate) fn select(&mut self, place: usize) {
        enum Chosen {
            Workspace(String),
            Session(Choice),
        }
        let rows = self.rows();
        let chosen = match rows.get(place.min(rows.len().saturating_sub(1))) {
            Some(Row::Workspace(it)) => Chosen::Workspace(it.id.clone()),
            Some(Row::NewWorkspace) => Chosen::Workspace(String::new()),
            Some(Row::Session(it)) => Chosen::Session(Choice::Session(it.name.clone())),
            Some(Row::NewSession) => Chosen::Session(Choice::New),
            Some(Row::Back) => Chosen::Session(Choice::Back),
            None => return,
        };
        match chosen {
            Chosen::Workspace(id) => self.workspace = Some(id),
            Chosen::Session(choice) => self.session = choice,
        }
    }

    /// The workspace that is selected or whose sessions are shown.
    pub(crate) fn current(&self) -> Option<&WorkspaceRow> {
        let id = match &self.screen {
            Screen::Sessions { of } => of,
            Screen::Workspaces => match self.rows().get(self.selected()) {
                Some(Row::Workspace(it)) => return self.find(&it.id),
                _ => return None,
            },
        };
        self.find(id)
    }

    /// The workspace whose sessions are shown.
    pub(crate) fn watched(&self) -> Option<String> {
        match &self.screen {
            Screen::Workspaces => None,
            Screen::Sessions { of } => Some(of.clone()),
        }
    }

    pub(crate) fn find(&self, id: &str) -> Option<&WorkspaceRow> {
        self.workspaces.iter().find(|it| it.id == id)
    }
}
