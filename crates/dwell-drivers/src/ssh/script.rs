//! Scripts for a far side whose login shell may be any: sh, bash, zsh, fish or csh.

/// The command that has the far side's `sh` run a script: one word in single quotes, free of all
/// that any shell would act on there.
pub(super) fn command(script: &str) -> String {
    let mut text = String::with_capacity(script.len() + script.len() / 4);
    for byte in script.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => text.push(char::from(byte)),
            b' ' | b'"' | b'$' | b'(' | b')' | b'+' | b',' | b'-' | b'.' | b'/' | b':' | b';'
            | b'<' | b'=' | b'>' | b'@' | b'[' | b']' | b'_' | b'{' | b'|' | b'}' | b'&' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("\\0{byte:03o}")),
        }
    }
    format!("exec sh -c 'eval \"$(printf %b \"$0\")\"' '{text}'")
}

/// A text as one word of a POSIX shell script.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(shell: &str, script: &str) -> String {
        let output =
            std::process::Command::new(shell).args(["-c", &command(script)]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn any_script_reaches_sh_as_it_is() {
        let odd = "a'b\"c\\d\\\\n$e`f`!g!!\t%s %b\n*?~#^ü";
        let script = format!("x={}\nprintf %s \"$x\"", quoted(odd));
        for shell in ["sh", "bash"] {
            assert_eq!(through(shell, &script), odd, "{shell}");
        }
    }

    #[test]
    fn what_shells_act_on_inside_quotes_is_not_in_the_command() {
        let command = command("a\\b'c!d\ne\0");
        let inner = command.rsplit_once(" '").unwrap().1.trim_end_matches('\'');
        assert_eq!(inner, "a\\0134b\\0047c\\0041d\\0012e\\0000");
    }
}
