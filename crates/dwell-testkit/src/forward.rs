//! Ports of workspaces: servers in them, forwards in the foreground, and what comes out of a port.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::home::TestHome;
use crate::wait::wait_until;

const LIMIT: Duration = Duration::from_secs(20);

/// Says its port and what it is told, on every connection, until the other side ends.
const ECHO: &str = r#"
use Socket;
my ($address, $port) = @ARGV;
socket(S, PF_INET, SOCK_STREAM, 0) or die $!;
setsockopt(S, SOL_SOCKET, SO_REUSEADDR, 1);
bind(S, pack_sockaddr_in($port, inet_aton($address))) or die $!;
listen(S, 64);
$SIG{CHLD} = 'IGNORE';
while (accept(C, S)) {
    if (!fork) { local $/; syswrite(C, "$port:"); my $all = <C>; print C $all; close C; exit }
    close C;
}
"#;

/// Starts servers in a workspace, and waits until they listen.
#[track_caller]
pub fn serve(home: &TestHome, name: &str, places: &[(&str, u16)]) {
    let write = format!("cat > echo.pl <<'END'{ECHO}END");
    home.dwell(["ws", "exec", name, "sh", "-c", &write]).ok();
    for (address, port) in places {
        let start = format!("setsid perl echo.pl {address} {port} >/dev/null 2>&1 </dev/null &");
        home.dwell(["ws", "exec", name, "sh", "-c", &start]).ok();
    }
    wait_until(LIMIT, "the servers listen", || {
        let said = home.dwell(["ports", name, "-q"]).stdout;
        places.iter().all(|(_, port)| said.lines().any(|line| line == port.to_string()))
    });
}

/// What a server answers, which is nothing where the connection is refused or reset.
pub fn reach(port: u16, text: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(LIMIT)).expect("a forward can be used");
    stream.write_all(text.as_bytes()).ok()?;
    stream.shutdown(Shutdown::Write).ok()?;
    let mut said = String::new();
    stream.read_to_string(&mut said).ok().filter(|length| *length > 0)?;
    Some(said)
}

/// A forward in the foreground, and the lines that it said first.
pub struct Foreground {
    child: Child,
    /// What it said.
    pub said: Vec<String>,
}

impl Foreground {
    /// Starts one, and waits until it said so many lines.
    #[track_caller]
    pub fn start(home: &TestHome, arguments: &[&str], lines: usize) -> Self {
        let mut command = home.dwell_command();
        command.arg("forward").args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("a forward can be used");
        let output = BufReader::new(child.stdout.take().expect("a forward can be used"));
        let said = output.lines().take(lines).map(|line| line.expect("a line")).collect();
        Self { child, said }
    }

    /// Ends it as Ctrl-C does; gives its exit code.
    pub fn interrupt(mut self) -> Option<i32> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = id.expect("a process has a number");
        kill_process(pid, Signal::INT).expect("a forward can be used");
        self.child.wait().expect("a forward can be used").code()
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
