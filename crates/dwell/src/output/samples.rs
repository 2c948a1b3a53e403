//! Objects for the tests of what they look like.

use dwell_api::environment::{Desired, Environment, Service, ServiceRole, Status, TreeKind};
use dwell_api::session::{Session, SessionStatus};
use dwell_api::workspace::Workspace;
use dwell_core::workspace::{
    Desired as WorkspaceDesired, ImageRef, Limits, Status as WorkspaceStatus,
};
use dwell_core::{EnvironmentId, Generation, WorkspaceId};

/// An environment with a running web service and a shared database.
pub(crate) fn environment(name: &str, project: &str) -> Environment {
    let host = format!("{name}.test");
    Environment {
        id: EnvironmentId::from_random([7; 8]),
        name: name.parse().unwrap(),
        project: project.parse().unwrap(),
        source: format!("/src/{project}").into(),
        tree: format!("/trees/{project}/{name}").into(),
        directory: format!("/trees/{project}/{name}").into(),
        tree_kind: Some(TreeKind::Worktree),
        branch: Some(format!("dwell/{name}")),
        suffix: "test".to_owned(),
        generation: Generation(2),
        desired: Desired::Running,
        status: Status::Running,
        services: vec![service("web", &host, ServiceRole::Isolated), db(&host)],
        subnets: vec!["10.224.0.0/28".to_owned()],
        url: Some(format!("http://{project}.{host}")),
        sessions: 1,
        created: 0,
        node: None,
        seen: None,
        notes: Vec::new(),
    }
}

fn service(name: &str, host: &str, role: ServiceRole) -> Service {
    Service {
        name: name.parse().unwrap(),
        role,
        state: "running".to_owned(),
        health: None,
        replicas: (1, 1),
        addresses: vec!["10.224.0.3".to_owned()],
        ports: vec!["80/tcp".to_owned()],
        names: vec![format!("{name}.{host}")],
        url: Some(format!("http://{name}.{host}")),
        ingress: true,
        node: None,
    }
}

fn db(host: &str) -> Service {
    let db = service("db", host, ServiceRole::Shared);
    Service {
        health: Some("healthy".to_owned()),
        ports: vec!["5432/tcp".to_owned()],
        url: None,
        ingress: false,
        ..db
    }
}

/// A running session of an environment.
pub(crate) fn workspace(name: &str) -> Workspace {
    Workspace {
        id: WorkspaceId::from_random([9; 8]),
        name: name.parse().unwrap(),
        generation: Generation(1),
        image: ImageRef::default(),
        limits: Limits::default(),
        desired: WorkspaceDesired::Running,
        status: WorkspaceStatus::Running,
        address: None,
        container: "dwell-ws".to_owned(),
        home: "dwell-ws-home".to_owned(),
        environments: Vec::new(),
        host_key: String::new(),
        refuses_agents: false,
        created: 0,
        kept_until: None,
        slept: false,
        credentials: Default::default(),
        docker: Default::default(),
        size: None,
        node: None,
        seen: None,
    }
}

/// A session that runs.
pub(crate) fn session(name: &str, environment_name: &str) -> Session {
    Session {
        name: name.parse().unwrap(),
        workspace: None,
        workspace_name: None,
        environment: Some(EnvironmentId::from_random([7; 8])),
        environment_name: Some(environment_name.parse().unwrap()),
        project: Some("shop".parse().unwrap()),
        restored: false,
        command: vec![name.to_owned(), "-p".to_owned(), "fix the tests".to_owned()],
        directory: "/trees/shop/a1".into(),
        agent: None,
        state: None,
        conversation: None,
        status: SessionStatus::Running,
        exit_code: None,
        attached: 1,
        windows: None,
        started: 0,
        ended: None,
        attach: vec!["tmux".to_owned(), "attach".to_owned()],
        node: None,
    }
}
