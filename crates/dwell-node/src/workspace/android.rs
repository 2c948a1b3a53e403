//! The Android emulator of a workspace, on its desktop: whether it can work here, and starting and
//! ending it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dwell_api::desktop::ChangeDesktop;
use dwell_api::{Code, Problem};
use dwell_core::idle::Source;
use dwell_core::observed::State;
use dwell_core::workspace::{
    ANDROID_PROGRAMS, Android, AndroidState, HOME, ImageRef, KVM, Limits, USER, Workspace,
    kvm_trouble, too_little,
};
use dwell_drivers::docker::ExecSpec;

use super::commands::Commands;
use super::{awake, desktop, docker, find, state};
use crate::node::Node;
use crate::problem::OrProblem;

/// How long one command may take; ending Android takes the longest.
const LIMIT: Duration = Duration::from_secs(60);

/// Lets the workspace's user alone use the device, and tells whether that user can.
const OWN: &str = r#"
chown "$1:$1" "$2" && chmod 600 "$2" && su -s /bin/sh "$1" -c "exec 3<>$2" 2>&1
"#;
const BEGIN: &str = r#"
d=$XDG_RUNTIME_DIR/dwell-android
rm -rf "$d"; mkdir -p "$d" || exit 1
cut -d' ' -f22 /proc/1/stat >"$d/boot"
setsid sh -c '
    echo $$ >"$1/pid"
    emulator -list-avds 2>/dev/null | grep -qx dwell ||
        echo no | avdmanager create avd --name dwell --package "$ANDROID_IMAGE" --device pixel_6
    emulator -avd dwell -port 5554 -accel on -gpu swiftshader_indirect -no-audio -no-boot-anim \
        -no-snapshot-save -memory 2048
    code=$?
    [ -e "$1/end" ] || echo "$code" >"$1/code"
    rm -f "$1/pid"
' dwell-android "$d" </dev/null >"$d/log" 2>&1 &
"#;
const LOOK: &str = r#"
d=$XDG_RUNTIME_DIR/dwell-android
told() { echo "crashed $1"; tail -n 15 "$d/log"; }
[ "$(cat "$d/boot" 2>/dev/null)" = "$(cut -d' ' -f22 /proc/1/stat)" ] || { echo stopped; exit; }
[ ! -e "$d/code" ] || { told "$(cat "$d/code")"; exit; }
pid=$(cat "$d/pid" 2>/dev/null) || { [ -e "$d/end" ] && echo stopped || echo starting; exit; }
grep -q dwell-android "/proc/$pid/cmdline" 2>/dev/null || { told ''; exit; }
booted=$(timeout 5 adb -s emulator-5554 shell getprop sys.boot_completed 2>/dev/null | tr -d '\r')
[ "$booted" = 1 ] && echo running || echo starting
"#;
const END: &str = r#"
d=$XDG_RUNTIME_DIR/dwell-android
[ -d "$d" ] || exit 0
touch "$d/end"
pid=$(cat "$d/pid" 2>/dev/null) && grep -q dwell-android "/proc/$pid/cmdline" && {
    timeout 10 adb -s emulator-5554 emu kill >/dev/null 2>&1
    tries=0
    while [ -e "$d/pid" ] && [ "$tries" -lt 150 ]; do tries=$((tries + 1)); sleep 0.1; done
    [ ! -e "$d/pid" ] || kill -KILL -- "-$pid" 2>/dev/null
}
rm -rf "$d"
"#;

/// Refuses what cannot work here.
pub(super) async fn refuse(
    node: &Node,
    image: &ImageRef,
    limits: &Limits,
    android: bool,
) -> Result<(), Problem> {
    if !android {
        return Ok(());
    }
    let refused = |code, why: &str| Problem::new(code, format!("`--android` cannot work: {why}"));
    if let Some((why, hint)) = kvm() {
        return Err(refused(Code::NoKvm, &why).hint(hint));
    }
    if let Some(why) = too_little(limits.memory_mb) {
        return Err(
            refused(Code::InvalidArgument, &why).hint("`--class cpu=4,mem=8g` gives it more")
        );
    }
    let lacks = docker::lacks(node, image, &ANDROID_PROGRAMS).await?;
    if !lacks.is_empty() {
        let why = format!("the image `{image}` has no {}", lacks.join(", "));
        return Err(refused(Code::ToolMissing, &why).hint(
            "`dwell image build android` makes one that has, `--image dwell-workspace:android` takes it",
        ));
    }
    Ok(())
}

/// Why the device of this machine cannot be used, and what to do.
pub(crate) fn kvm() -> Option<(String, &'static str)> {
    let opened = std::fs::OpenOptions::new().read(true).write(true).open(KVM);
    let error = opened.err()?;
    let (why, hint) = kvm_trouble(error.raw_os_error().unwrap_or_default())?;
    let why = if Path::new(KVM).exists() { format!("{why}: {error}") } else { why.to_owned() };
    Some((why, hint))
}

/// The device, where it is wanted.
pub(super) fn devices(it: &Workspace) -> Vec<String> {
    it.android.then(|| KVM.to_owned()).into_iter().collect()
}

/// Gives the device to the workspace's user. Each start of a container makes it anew.
pub(super) async fn ready(node: &Node, it: &Workspace) -> Result<(), Problem> {
    if !it.android {
        return Ok(());
    }
    let spec = ExecSpec {
        command: ["sh", "-c", OWN, "sh", USER, KVM].map(str::to_owned).into(),
        user: Some("root".to_owned()),
        ..ExecSpec::default()
    };
    let tried = Commands::of(node, it).run(spec, None, LIMIT).await.or_problem()?;
    if tried.ok() {
        return Ok(());
    }
    let said = format!("{}{}", tried.text(), tried.error_text());
    let message = format!("{KVM} cannot be opened in `{}`: {}", it.name, said.trim());
    Err(Problem::new(Code::NoKvm, message)
        .hint("on a virtual machine, its host has to allow nested virtualization"))
}

/// What the emulator of a workspace does. Wakes nothing.
pub(crate) async fn android(node: &Arc<Node>, name: &str) -> Result<Android, Problem> {
    let it = wanted(node, name).await?;
    match state(node, &it).await? {
        Some(State::Running) => look(node, &it).await,
        Some(State::Paused) => Ok(Android::of(AndroidState::Frozen)),
        _ => Ok(Android::of(AndroidState::Stopped)),
    }
}

/// Starts the emulator on the workspace's desktop, or ends it.
pub(crate) async fn change_android(
    node: &Arc<Node>,
    name: &str,
    run: bool,
) -> Result<Android, Problem> {
    let it = awake(node, wanted(node, name).await?, Source::Request).await?;
    let now = look(node, &it).await?;
    let runs = matches!(now.state, AndroidState::Starting | AndroidState::Running);
    match run {
        true if runs => return Ok(now),
        true => {
            ready(node, &it).await?;
            desktop(node, it.id.as_str(), ChangeDesktop { run: true, size: None }).await?;
            script(node, &it, BEGIN).await?;
        }
        false => {
            script(node, &it, END).await?;
        }
    }
    look(node, &it).await
}

async fn wanted(node: &Node, name: &str) -> Result<Workspace, Problem> {
    let it = find(node, name).await?;
    if it.android {
        return Ok(it);
    }
    let message = format!("workspace `{}` was made without --android", it.name);
    Err(Problem::new(Code::InvalidArgument, message)
        .hint("`dwell ws create <name> --android --image dwell-workspace:android` makes one"))
}

async fn look(node: &Node, it: &Workspace) -> Result<Android, Problem> {
    let said = script(node, it, LOOK).await?;
    Android::seen(&said).ok_or_else(|| {
        Problem::new(Code::ToolFailed, format!("what Android does in `{}` is not known", it.name))
    })
}

async fn script(node: &Node, it: &Workspace, script: &str) -> Result<String, Problem> {
    let fixed =
        [("HOME", HOME), ("XDG_RUNTIME_DIR", dwell_core::workspace::RUNTIME), ("DISPLAY", ":1")];
    let fixed = fixed.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let variables = it.variables().into_iter().chain(fixed);
    let spec = ExecSpec {
        command: ["sh", "-c", script].map(str::to_owned).into(),
        user: Some(USER.to_owned()),
        directory: Some(HOME.to_owned()),
        variables: variables.map(|(name, value)| format!("{name}={value}")).collect(),
        ..ExecSpec::default()
    };
    let ran = Commands::of(node, it).run(spec, None, LIMIT).await.or_problem()?;
    if ran.ok() {
        return Ok(ran.text());
    }
    let message = format!("the emulator of `{}` could not be looked after", it.name);
    Err(Problem::new(Code::ToolFailed, message).details([ran.error_text()]))
}
