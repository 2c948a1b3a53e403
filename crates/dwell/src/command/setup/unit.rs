//! The texts of the user units that start dwell with the machine. Pure.

use std::path::Path;

/// A systemd user unit. Its sessions' tmux server is a child of the daemon and must survive it,
/// hence only the daemon itself is killed.
pub(super) fn systemd(program: &Path) -> String {
    let program = program.display().to_string().replace('%', "%%");
    let program = if program.contains([' ', '"', '\\']) {
        format!("\"{}\"", program.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        program
    };
    format!(
        "[Unit]
Description=dwell: isolated environments and agent sessions

[Service]
Type=simple
ExecStart={program} node run
KillMode=process
Restart=on-failure
RestartSec=1

[Install]
WantedBy=default.target
"
    )
}

/// A launchd agent.
pub(super) fn launchd(program: &Path, log: &Path) -> String {
    let program = escape(&program.display().to_string());
    let log = escape(&log.display().to_string());
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>dev.dwell.node</string>
  <key>ProgramArguments</key>
  <array>
    <string>{program}</string>
    <string>node</string>
    <string>run</string>
  </array>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
  <key>AbandonProcessGroup</key>
  <true/>
  <key>StandardOutPath</key>
  <string>{log}</string>
  <key>StandardErrorPath</key>
  <string>{log}</string>
</dict>
</plist>
"#
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systemd_unit_kills_only_the_daemon() {
        insta::assert_snapshot!(systemd(Path::new("/usr/local/bin/dwell")), @r#"
        [Unit]
        Description=dwell: isolated environments and agent sessions

        [Service]
        Type=simple
        ExecStart=/usr/local/bin/dwell node run
        KillMode=process
        Restart=on-failure
        RestartSec=1

        [Install]
        WantedBy=default.target
        "#);
    }

    #[test]
    fn a_path_with_a_blank_or_a_percent_sign_is_quoted() {
        let unit = systemd(Path::new("/opt/my tools/100%/dwell"));
        assert!(unit.contains("ExecStart=\"/opt/my tools/100%%/dwell\" node run\n"), "{unit}");
    }

    #[test]
    fn the_launchd_agent_leaves_sessions_running() {
        let agent = launchd(Path::new("/opt/a&b/dwell"), Path::new("/Users/a/node.log"));
        insta::assert_snapshot!(agent, @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
        <plist version="1.0">
        <dict>
          <key>Label</key>
          <string>dev.dwell.node</string>
          <key>ProgramArguments</key>
          <array>
            <string>/opt/a&amp;b/dwell</string>
            <string>node</string>
            <string>run</string>
          </array>
          <key>RunAtLoad</key>
          <true/>
          <key>KeepAlive</key>
          <dict>
            <key>SuccessfulExit</key>
            <false/>
          </dict>
          <key>AbandonProcessGroup</key>
          <true/>
          <key>StandardOutPath</key>
          <string>/Users/a/node.log</string>
          <key>StandardErrorPath</key>
          <string>/Users/a/node.log</string>
        </dict>
        </plist>
        "#);
    }
}
