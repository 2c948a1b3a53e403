//! The endpoint table: every path of the node API once, for the router and for clients.

use std::fmt::Write as _;

use serde::Serialize;

macro_rules! endpoints {
    ($($(#[$meta:meta])* $name:ident = $path:literal;)*) => {
        $($(#[$meta])* pub const $name: &str = $path;)*

        /// Every path, for documentation and tests.
        pub const ALL: &[&str] = &[$($name,)*];
    };
}

endpoints! {
    /// GET: the node and its parts.
    NODE = "/v1/node";
    /// POST: ends the daemon; what it started goes on.
    NODE_STOP = "/v1/node/stop";
    /// GET: what works and what does not, and what to do.
    DOCTOR = "/v1/doctor";
    /// POST: repairs what can be repaired without asking.
    DOCTOR_REPAIR = "/v1/doctor/repair";
    /// GET: the OpenAPI document.
    OPENAPI = "/v1/openapi.json";
    /// GET: lists environments. POST: creates one (events).
    ENVIRONMENTS = "/v1/environments";
    /// GET: one environment.
    ENVIRONMENT = "/v1/environments/{environment}";
    /// POST: brings it up, making it first if asked to (events).
    UP = "/v1/environments/{environment}/up";
    /// POST: removes its containers and networks; keeps tree and volumes (events).
    DOWN = "/v1/environments/{environment}/down";
    /// POST: removes everything of it (events).
    DESTROY = "/v1/environments/{environment}/destroy";
    /// GET: what destroying it would lose.
    LOSSES = "/v1/environments/{environment}/losses";
    /// GET: its work compared with its source.
    DIFF = "/v1/environments/{environment}/diff";
    /// POST: brings its work into its source.
    MERGE = "/v1/environments/{environment}/merge";
    /// POST: brings its source's work into it.
    SYNC = "/v1/environments/{environment}/sync";
    /// GET: its containers' logs, as lines.
    LOGS = "/v1/environments/{environment}/logs";
    /// GET: waits for a state.
    WAIT = "/v1/environments/{environment}/wait";
    /// GET: variables that lead to its services.
    VARIABLES = "/v1/environments/{environment}/variables";
    /// GET: how to run `docker compose` on it.
    COMPOSE = "/v1/environments/{environment}/compose";
    /// POST with an upgrade: runs a command in a container.
    EXEC = "/v1/environments/{environment}/exec";
    /// POST: starts a session in it.
    ENVIRONMENT_SESSIONS = "/v1/environments/{environment}/sessions";
    /// GET: one session.
    SESSION = "/v1/environments/{environment}/sessions/{session}";
    /// POST: ends a session's command.
    SESSION_KILL = "/v1/environments/{environment}/sessions/{session}/kill";
    /// GET: a session's transcript, as bytes.
    TRANSCRIPT = "/v1/environments/{environment}/sessions/{session}/transcript";
    /// POST: types text into a session.
    SEND = "/v1/environments/{environment}/send";
    /// GET: lists sessions.
    SESSIONS = "/v1/sessions";
    /// GET: an operation's events from its beginning.
    OPERATION = "/v1/operations/{operation}";
    /// POST: cancels an operation; what it did is undone.
    OPERATION_CANCEL = "/v1/operations/{operation}/cancel";
    /// GET: registered nodes. POST: registers one.
    REMOTES = "/v1/remotes";
    /// GET: one registered node.
    REMOTE = "/v1/remotes/{remote}";
    /// POST: forgets a registered node; what runs there goes on.
    REMOTE_REMOVE = "/v1/remotes/{remote}/remove";
    /// POST: measures a round trip, making the link first.
    REMOTE_PING = "/v1/remotes/{remote}/ping";
    /// GET: what runs on a registered node and what is left of it.
    REMOTE_MACHINE = "/v1/remotes/{remote}/machine";
    /// POST with an upgrade: a byte stream to something on a registered node.
    DIAL = "/v1/remotes/{remote}/dial";
    /// GET: what runs on this machine and what is left of it.
    MACHINE = "/v1/machine";
    /// POST: builds a workspace image.
    IMAGES = "/v1/images";
    /// POST: the ports that images say, which are pulled first where that is asked.
    IMAGE_PORTS = "/v1/images/ports";
    /// POST: lets another node in over a mesh, and tells where.
    MESH = "/v1/mesh";
    /// POST: lets another node in over a mesh no more.
    MESH_FORGET = "/v1/mesh/forget";
    /// GET: environments and sessions, anew whenever something changes, as lines.
    WATCH = "/v1/watch";
    /// GET: which objects of a project's source the node has.
    TIPS = "/v1/projects/{project}/tips";
    /// POST with an upgrade: receives objects of a project's source.
    OBJECTS = "/v1/projects/{project}/objects";
    /// POST with an upgrade: receives files of a project's source that git does not keep.
    EXTRA = "/v1/projects/{project}/extra";
    /// POST with an upgrade: compares a source without git, while its files are brought.
    PLAIN = "/v1/projects/{project}/plain";
    /// POST with an upgrade: is rsync's other side.
    RSYNC = "/v1/projects/{project}/rsync";
    /// GET: the files that an environment without git changed, as bytes.
    CHANGED = "/v1/environments/{environment}/changed";
    /// POST with an upgrade: sends the files of an environment's tree that git does not keep.
    OWN_EXTRA = "/v1/environments/{environment}/extra";
    /// POST with an upgrade: sends an environment's work.
    WORK = "/v1/environments/{environment}/work";
    /// POST: brings an environment's work from its node into a branch of its source.
    PULL = "/v1/environments/{environment}/pull";
    /// POST with an upgrade: sends an environment's whole tree.
    TREE = "/v1/environments/{environment}/tree";
    /// GET: how an environment came to its node, for sending it on.
    DELIVERY = "/v1/environments/{environment}/delivery";
    /// POST: moves an environment, or services of it, to another node (events).
    MOVE = "/v1/environments/{environment}/move";
    /// POST: what moving it would do.
    MOVE_PLAN = "/v1/environments/{environment}/move/plan";
    /// GET: an environment's named volumes.
    VOLUMES = "/v1/environments/{environment}/volumes";
    /// POST with an upgrade: makes a volume of the content that it receives.
    VOLUME = "/v1/environments/{environment}/volumes/{volume}";
    /// POST with an upgrade: sends a volume's content.
    VOLUME_CONTENT = "/v1/environments/{environment}/volumes/{volume}/content";
    /// POST: removes a volume.
    VOLUME_REMOVE = "/v1/environments/{environment}/volumes/{volume}/remove";
    /// POST: stops a service's containers.
    SERVICE_STOP = "/v1/environments/{environment}/services/{service}/stop";
    /// POST: starts a service's containers that were stopped.
    SERVICE_START = "/v1/environments/{environment}/services/{service}/start";
    /// GET: the names of the variables that commands get there which are started from elsewhere.
    LOGIN = "/v1/environments/{environment}/login";
    /// POST with an upgrade: runs a command in an environment's tree, on its node.
    COMMAND = "/v1/environments/{environment}/command";
    /// GET: lists workspaces. POST: makes one (events).
    WORKSPACES = "/v1/workspaces";
    /// GET: one workspace.
    WORKSPACE = "/v1/workspaces/{workspace}";
    /// POST: starts, stops, suspends, resumes, resizes, renames it, or joins it to an environment
    /// (events).
    WORKSPACE_CHANGE = "/v1/workspaces/{workspace}/change";
    /// GET: what destroying it would lose.
    WORKSPACE_LOSSES = "/v1/workspaces/{workspace}/losses";
    /// POST: removes it; its home is kept for a while (events).
    WORKSPACE_DESTROY = "/v1/workspaces/{workspace}/destroy";
    /// POST: makes it again of the home that was kept (events).
    WORKSPACE_RESTORE = "/v1/workspaces/{workspace}/restore";
    /// GET: sign-ins of agents that workspaces share, without what is in them.
    CREDENTIALS = "/v1/credentials";
    /// POST: takes over a sign-in.
    CREDENTIALS_IMPORT = "/v1/credentials/{agent}/import";
    /// POST: forgets a sign-in.
    CREDENTIALS_FORGET = "/v1/credentials/{agent}/forget";
    /// POST: puts a person's settings into it.
    WORKSPACE_SETTINGS = "/v1/workspaces/{workspace}/settings";
    /// POST: lists its servers of the Model Context Protocol, adds one, or removes one.
    WORKSPACE_MCP = "/v1/workspaces/{workspace}/mcp";
    /// POST with an upgrade: runs a command in it.
    WORKSPACE_EXEC = "/v1/workspaces/{workspace}/exec";
    /// POST with an upgrade: a byte stream to a port of a workspace.
    WORKSPACE_DIAL = "/v1/workspaces/{workspace}/dial";
    /// GET: what listens in a workspace.
    WORKSPACE_PORTS = "/v1/workspaces/{workspace}/ports";
    /// POST: starts or ends the desktop of a workspace.
    WORKSPACE_DESKTOP = "/v1/workspaces/{workspace}/desktop";
    /// GET: what the Android emulator of a workspace does. POST: starts or ends it.
    WORKSPACE_ANDROID = "/v1/workspaces/{workspace}/android";
    /// GET: what a browser needs in order to show it.
    WORKSPACE_VIEWER = "/v1/workspaces/{workspace}/viewer";
    /// POST: a way to see the desktop of a workspace in a browser of this machine.
    VIEWERS = "/v1/viewers";
    /// POST with an upgrade: a byte stream to a port of a service.
    SERVICE_DIAL = "/v1/environments/{environment}/dial";
    /// GET: lists the forwards that the daemon holds. POST: has it hold more.
    FORWARDS = "/v1/forwards";
    /// POST: stops forwards.
    FORWARDS_STOP = "/v1/forwards/stop";
    /// GET: the snapshots of a workspace. POST: makes one (events).
    SNAPSHOTS = "/v1/workspaces/{workspace}/snapshots";
    /// POST: has a workspace be what it was at a snapshot (events).
    SNAPSHOT_RESTORE = "/v1/workspaces/{workspace}/snapshots/{snapshot}/restore";
    /// POST: removes a snapshot (events).
    SNAPSHOT_REMOVE = "/v1/workspaces/{workspace}/snapshots/{snapshot}/remove";
    /// POST: makes a workspace that begins as a copy of another one (events).
    WORKSPACE_FORK = "/v1/workspaces/{workspace}/fork";
    /// GET: what is run again where its file system begins anew. POST: changes it (events).
    WORKSPACE_SETUP = "/v1/workspaces/{workspace}/setup";
    /// GET: what an upgrade would do. POST: has it begin anew as an image (events).
    WORKSPACE_UPGRADE = "/v1/workspaces/{workspace}/upgrade";
    /// GET: what waits to become a workspace.
    POOL = "/v1/pool";
    /// GET: what holds it awake, and when it is put to sleep. POST: changes when.
    WORKSPACE_IDLE = "/v1/workspaces/{workspace}/idle";
    /// POST: keeps it awake for a time, or takes that back.
    WORKSPACE_KEEP = "/v1/workspaces/{workspace}/keep";
    /// POST: starts a session in it.
    WORKSPACE_SESSIONS = "/v1/workspaces/{workspace}/sessions";
    /// GET: one session of a workspace.
    WORKSPACE_SESSION = "/v1/workspaces/{workspace}/sessions/{session}";
    /// POST: ends the command of a session of a workspace.
    WORKSPACE_SESSION_KILL = "/v1/workspaces/{workspace}/sessions/{session}/kill";
    /// GET: the transcript of a session of a workspace, as bytes.
    WORKSPACE_TRANSCRIPT = "/v1/workspaces/{workspace}/sessions/{session}/transcript";
    /// POST with an upgrade: a terminal of a session of a workspace.
    WORKSPACE_ATTACH = "/v1/workspaces/{workspace}/sessions/{session}/attach";
    /// POST: types text into a session of a workspace.
    WORKSPACE_SEND = "/v1/workspaces/{workspace}/send";
    /// POST: asks for, gives or takes back trust in what a directory wants to run.
    TRUST = "/v1/trust";
}

/// Fills the `{...}` segments of a path, in order, with percent-encoded values.
pub fn fill(path: &str, values: &[&str]) -> String {
    let mut values = values.iter();
    let mut filled = String::with_capacity(path.len());
    for segment in path.split('/').skip(1) {
        filled.push('/');
        if segment.starts_with('{') {
            encode(values.next().copied().unwrap_or_default(), &mut filled);
        } else {
            filled.push_str(segment);
        }
    }
    filled
}

/// Adds a query made of a flat structure; absent fields are left out.
pub fn query<Q: Serialize>(path: &str, query: &Q) -> String {
    let mut full = path.to_owned();
    let mut separator = '?';
    let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(query) else {
        return full;
    };
    for (name, value) in fields {
        let text = match value {
            serde_json::Value::Null => continue,
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        full.push(separator);
        full.push_str(&name);
        full.push('=');
        encode(&text, &mut full);
        separator = '&';
    }
    full
}

fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            into.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::{InProject, WaitFor, WaitQuery};

    #[test]
    fn values_are_encoded_into_their_segments() {
        assert_eq!(fill(SESSION, &["a/1", "s ü"]), "/v1/environments/a%2F1/sessions/s%20%C3%BC");
    }

    #[test]
    fn absent_fields_are_left_out_of_a_query() {
        assert_eq!(query(NODE, &InProject { project: None }), "/v1/node");
        let wait = WaitQuery { project: None, wanted: WaitFor::Ready, timeout: 5 };
        assert_eq!(query("/w", &wait), "/w?for=ready&timeout=5");
    }
}
