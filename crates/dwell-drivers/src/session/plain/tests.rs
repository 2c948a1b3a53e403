use super::*;

/// What a program writes and what may be left of it.
const CORPUS: &[(&[u8], &str)] = &[
    (b"plain\r\ntext\n", "plain\ntext\n"),
    (b"\x1b[1;31mred\x1b[0m", "red"),
    (b"\x1b[38;2;1;2;3mtrue\x1b[39;49m colour", "true colour"),
    // Clipboard: write, read, through tmux, with both terminators.
    (b"a\x1b]52;c;c2VjcmV0\x07b", "ab"),
    (b"a\x1b]52;c;c2VjcmV0\x1b\\b", "ab"),
    (b"a\x1b]52;c;?\x07b", "ab"),
    (b"a\x1bPtmux;\x1b\x1b]52;c;c2VjcmV0\x07\x1b\\b", "ab"),
    // Titles, their report, icons, working directory, hyperlinks, notifications.
    (b"\x1b]0;title\x07x", "x"),
    (b"\x1b]2;title\x1b\\x\x1b[21t", "x"),
    (b"\x1bktitle\x1b\\x", "x"),
    (b"\x1b]7;file://h/p\x07x", "x"),
    (b"\x1b]8;;http://e/\x07link\x1b]8;;\x07", "link"),
    (b"\x1b]9;hello\x07\x1b]777;notify;a;b\x07x", "x"),
    (b"\x1b]1337;File=inline=1:AAAA\x07x", "x"),
    // Queries: device attributes, status, DECRQSS, colours, modes, terminfo.
    (b"\x1b[c\x1b[>c\x1b[=c\x1b[6n\x1b[?6nx", "x"),
    (b"\x1bP$qm\x1b\\x", "x"),
    (b"\x1bP+q544e\x1b\\x", "x"),
    (b"\x1b]4;1;?\x07\x1b]10;?\x07x", "x"),
    (b"\x1b[?2004$px\x1bZ\x05", "x"),
    // Modes, screens, scrolling, resets, key pad, character sets.
    (b"\x1b[?1049h\x1b[2J\x1b[Hx\x1b[?1049l", "x"),
    (b"\x1b[?25l\x1b[?1000;1006hx\x1b[?2004l", "x"),
    (b"\x1bcx\x1b7y\x1b8\x1b=\x1b>", "xy"),
    (b"\x1b(0x\x1b(B\x1b#8\x1b%G", "x"),
    (b"\x0e\x0fx\x08\x7f\0", "x"),
    // Strings of the other kinds.
    (b"\x1b_app\x1b\\x", "x"),
    (b"\x1b^private\x1b\\x", "x"),
    (b"\x1bXstring\x1b\\x", "x"),
    (b"\x1bPq#0;2;0;0;0#0~~@@vv@@~~$\x1b\\x", "x"),
    // The same with one control character of the second set, as UTF-8.
    ("a\u{9b}31mb".as_bytes(), "ab"),
    ("a\u{9d}52;c;eA==\u{9c}b".as_bytes(), "ab"),
    ("a\u{90}q\u{9c}b\u{85}".as_bytes(), "ab"),
    // ... and raw, which is no text.
    (b"a\x9bb", "a\u{fffd}b"),
    // Broken off.
    (b"a\x1b[31\x18b", "ab"),
    (b"a\x1b]0;t\x18b", "ab"),
    (b"a\x1b[3\x1b[1mb", "ab"),
    (b"a\x1b]0;never ended", "a"),
    (b"a\x1b[3\n1mb", "a\nb"),
    (b"a\x1b", "a"),
    // Layout.
    (b"one\x1b[3Ctwo\x1b[Cx", "one   two x"),
    (b"10%\r20%\r100%\r\n", "10%\n20%\n100%\n"),
    (b"a\r\r\nb", "a\nb"),
    (b"a\tb", "a\tb"),
    ("Grüße 日本 👩\u{200d}🚀".as_bytes(), "Grüße 日本 👩\u{200d}🚀"),
    (b"cut \xe6\x97", "cut \u{fffd}"),
    (b"bad \xff\xfe ok", "bad \u{fffd}\u{fffd} ok"),
];

#[test]
fn nothing_that_a_terminal_acts_on_is_left() {
    for (bytes, text) in CORPUS {
        let shown = String::from_utf8_lossy(bytes).escape_debug().to_string();
        assert_eq!(plain_text(bytes), *text, "{shown}");
        let left = plain_text(bytes);
        assert!(left.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\t')), "{shown}");
    }
}

#[test]
fn it_does_not_matter_where_the_stream_is_cut() {
    for (bytes, text) in CORPUS {
        for at in 0..=bytes.len() {
            let (one, two) = bytes.split_at(at);
            let mut plain = Plain::default();
            let joined = plain.push(one) + &plain.push(two) + &plain.finish();
            assert_eq!(joined, *text, "cut at {at}");
        }
    }
}

#[test]
fn a_string_without_an_end_does_not_hide_everything_after_it() {
    let mut bytes = b"\x1b]0;".to_vec();
    bytes.extend(vec![b'x'; STRING_MAX + 1]);
    bytes.extend(b"after");
    assert!(plain_text(&bytes).ends_with("after"));
}

#[test]
fn a_far_movement_makes_no_flood() {
    assert_eq!(plain_text(b"\x1b[99999999999999999999999Cx").len(), BLANKS_MAX + 1);
}
