//! A grammar of YAML: streams in block and flow style.

use super::draft::{Choice, Draft};

/// Plain and quoted scalars of all types.
const SCALARS: &[Choice] = &[
    ("whole number with a fraction", b"1.0"),
    ("whole number with an exponent", b"1.5e+06"),
    ("exponent without a point", b"1e3"),
    ("fraction", b"2.5"),
    ("point without a fraction", b"5."),
    ("point first", b".5"),
    ("point first with underscores", b".5_0"),
    ("large float", b"1e21"),
    ("float over 64 bits", b"1e19"),
    ("float out of range", b"1e999"),
    ("octal", b"0777"),
    ("octal with 8", b"08"),
    ("octal of YAML 1.2", b"0o17"),
    ("hexadecimal", b"0x1F"),
    ("binary", b"0b101"),
    ("binary with a sign inside", b"0b-1"),
    ("negative binary", b"-0b11"),
    ("underscores", b"1_000"),
    ("only an underscore", b"0_"),
    ("plus sign", b"+12"),
    ("negative zero", b"-0"),
    ("negative zero with a fraction", b"-0.0"),
    ("largest integer", b"9223372036854775807"),
    ("unsigned integer", b"18446744073709551615"),
    ("integer over 64 bits", b"99999999999999999999"),
    ("base 60", b"1:30:00"),
    ("date", b"2001-12-14"),
    ("time", b"2001-12-14t21:59:43.10-05:00"),
    ("infinity", b".inf"),
    ("not a number", b".NaN"),
    ("not a float", b".x"),
    ("yes", b"yes"),
    ("letter y", b"y"),
    ("letter n", b"N"),
    ("on", b"on"),
    ("off", b"OFF"),
    ("mixed case", b"yEs"),
    ("true", b"True"),
    ("tilde", b"~"),
    ("null", b"null"),
    ("Null", b"Null"),
    ("empty", b""),
    ("string tag", b"!!str 12"),
    ("integer tag", b"!!int 12"),
    ("integer tag on a fraction", b"!!int 1.5"),
    ("float tag", b"!!float 1"),
    ("boolean tag", b"!!bool yes"),
    ("boolean tag on a text", b"!!bool x"),
    ("null tag", b"!!null ~"),
    ("null tag on a text", b"!!null x"),
    ("binary tag", b"!!binary aGk="),
    ("binary tag, not UTF-8", b"!!binary 6eE="),
    ("binary tag on a text", b"!!binary x"),
    ("timestamp tag", b"!!timestamp 2001-12-14"),
    ("timestamp tag on a text", b"!!timestamp x"),
    ("own tag", b"!mine 5"),
    ("no specific tag", b"! 12"),
    ("verbatim tag", b"!<tag:yaml.org,2002:str> 12"),
    ("unknown handle", b"!x!y 12"),
    ("tag of a quoted text", b"!!int '12'"),
    ("single quotes", b"'it''s'"),
    ("double quotes", b"\"a\\tb\\x41\\u00e9\\_\\N\\L\""),
    ("escaped slash", br#""a\/b""#),
    ("surrogate escape", br#""\ud83d\ude00""#),
    ("unknown escape", br#""\q""#),
    ("space in a plain text", b"a b"),
    ("colon in a plain text", b"a:b"),
    ("colon and space", b"a: b"),
    ("hash", b"a#b"),
    ("comment", b"a # b"),
    ("line separator", "a\u{2028}b".as_bytes()),
    ("paragraph separator", "a\u{2029}  b".as_bytes()),
    ("next line", "a\u{85}  b".as_bytes()),
    ("no-break space", "a\u{a0}b".as_bytes()),
    ("byte order mark", "a\u{feff}b".as_bytes()),
    ("control character", b"a\x01b"),
    ("delete", b"a\x7fb"),
    ("tab", b"a\tb"),
    ("alias", b"*a"),
    ("unknown alias", b"*none"),
    ("anchor", b"&a x"),
    ("at sign", b"@x"),
    ("percent sign", b"%x"),
    ("backtick", b"`x`"),
    ("question mark", b"?x"),
    ("leading hyphen", b"-x"),
    ("leading comma", b",x"),
    ("merge key as a value", b"<<"),
    ("equals sign", b"="),
    ("invalid UTF-8", b"caf\xe9"),
];

/// Scalars in block style.
const BLOCKS: &[Choice] = &[
    ("literal", b"|\n      a\n      b\n"),
    ("literal without the last break", b"|-\n      a\n\n"),
    ("literal with all breaks", b"|+\n      a\n\n"),
    ("folded", b">\n      a\n      b\n\n      c\n"),
    ("indentation indicator", b"|2\n      a\n"),
    ("literal with a separator", "|\n      a\u{2028}b\n".as_bytes()),
    ("several lines", b"a\n      b\n"),
    ("quoted lines", b"'a\n\n      b'\n"),
];

const KEYS: &[Choice] = &[
    ("key y", b"y"),
    ("key n", b"n"),
    ("key on", b"on"),
    ("key off", b"Off"),
    ("key yes", b"yes"),
    ("integer key", b"10"),
    ("hexadecimal key", b"0x10"),
    ("fraction key", b"1.50"),
    ("large float key", b"1e7"),
    ("small float key", b"1.25e-5"),
    ("float32 key", b"0.1234567891"),
    ("infinity key", b".inf"),
    ("null key", b"~"),
    ("unsigned key", b"18446744073709551615"),
    ("date key", b"2001-12-14"),
    ("quoted key", b"'n'"),
    ("tagged key", b"!!str n"),
    ("key with an anchor", b"&k key"),
    ("explicit key", b"? e"),
    ("list as a key", b"[a]"),
    ("mapping as a key", b"{a: b}"),
    ("quoted merge key", b"'<<'"),
];

const MERGES: &[Choice] = &[
    ("merge", b"<<: *base"),
    ("merge of a list", b"<<: [*base, {z: last}]"),
    ("merge of a mapping", b"<<: {z: here, x: here}"),
    ("merge of a text", b"<<: x"),
    ("merge of a list of texts", b"<<: [x]"),
    ("tagged merge key", b"!!merge <<: *base"),
];

const STARTS: &[Choice] = &[
    ("document start", b"---\n"),
    ("version 1.1", b"%YAML 1.1\n---\n"),
    ("version 1.2", b"%YAML 1.2\n---\n"),
    ("version 2.0", b"%YAML 2.0\n---\n"),
    ("tag directive", b"%TAG !x! tag:yaml.org,2002:\n---\n"),
    ("unknown directive", b"%FOO bar\n---\n"),
    ("comment", b"# comment\n\n"),
    ("byte order mark", "\u{feff}".as_bytes()),
    ("empty first document", b"---\n---\n"),
];

const ENDS: &[Choice] = &[
    ("second document", b"---\nkind: Other\n"),
    ("broken second document", b"---\n{[\n"),
    ("document end", b"...\n"),
    ("text behind the end", b"...\nx\n"),
    ("comment", b"# end"),
    ("wrong indentation", b" x: y\n"),
    ("literal at the end", b"more: |\n  a"),
    ("folded text at the end", b"more: >+\n  a\n  b\n  "),
    ("tab", b"\t"),
];

/// Writes an image stream. Odd values of metadata and tags are its only parts that may differ.
pub(super) fn stream(draft: &mut Draft) {
    if draft.is_odd() {
        draft.choose(STARTS);
    }
    draft.push("apiVersion: image.openshift.io/v1\nkind: ImageStream\nmetadata:\n  name: ");
    draft.value("x", SCALARS);
    draft.push("\n  generation: ");
    draft.value("7", SCALARS);
    line_break(draft);
    draft.push("  labels: &base\n    x: '1'\n");
    entries(draft, "    ");
    draft.push("  annotations: ");
    flow_map(draft);
    line_break(draft);
    if draft.is_odd() {
        draft.mark("key given twice");
        draft.push("  labels:\n    w: z\n");
    }
    draft.push("spec:\n  tags:");
    line_break(draft);
    for _ in 0..draft.below(3) {
        tag(draft);
    }
    if draft.is_odd() {
        draft.mark("unknown field");
        draft.push("nobody: ");
        draft.choose(SCALARS);
        draft.push("\n");
    }
    if draft.is_odd() && draft.below(3) == 0 {
        draft.choose(ENDS);
    }
    draft.damage();
}

fn entries(draft: &mut Draft, indent: &str) {
    for at in 0..draft.below(4) {
        draft.push(indent);
        match draft.below(10) {
            0 | 1 if draft.is_odd() => draft.choose(MERGES),
            2..=4 => {
                draft.value("k", KEYS);
                draft.push(": ");
                draft.value("v", SCALARS);
            }
            5 if draft.is_odd() => {
                draft.push(&format!("b{at}: "));
                draft.choose(BLOCKS);
            }
            _ => {
                draft.push(&format!("k{at}: "));
                draft.value("v", SCALARS);
            }
        }
        line_break(draft);
    }
}

fn flow_map(draft: &mut Draft) {
    if draft.is_odd() && draft.below(3) == 0 {
        return draft.choose(&[
            ("adjacent value", br#"{"a":"b"}"#),
            ("flow key without a value", b"{a}"),
            ("no space in a flow mapping", b"{a:b}"),
            ("trailing comma", b"{a: b, }"),
            ("two commas", b"{a: b,, c: d}"),
            ("comma behind a tag", b"{a: !!str, b: c}"),
            ("flow mapping over lines", b"{a: b,\n    c:\n    d}"),
            ("flow sequence", b"[a, b: c]"),
            ("merge in a flow mapping", b"{<<: *base, z: own}"),
            ("comment in a flow mapping", b"{a: b # x\n    }"),
            ("anchor of a mapping in itself", b"&self {a: *self}"),
        ]);
    }
    draft.push("{");
    for at in 0..draft.below(3) {
        draft.push(if at > 0 { ", " } else { "" });
        draft.value("f", KEYS);
        draft.push(&format!("{at}: "));
        draft.value("v", SCALARS);
    }
    draft.push("}");
}

fn tag(draft: &mut Draft) {
    draft.push("  - name: ");
    draft.unique_name();
    line_break(draft);
    draft.push("    generation: ");
    draft.value("3", SCALARS);
    line_break(draft);
    draft.push("    reference: ");
    draft.value("true", SCALARS);
    draft.push("\n    from: {kind: DockerImage, name: ");
    draft.value("a/b", SCALARS);
    draft.push("}\n    annotations:\n      z: z\n");
    entries(draft, "      ");
}

fn line_break(draft: &mut Draft) {
    if draft.is_odd() && draft.below(4) == 0 {
        return draft.choose(&[
            ("carriage return", b"\r"),
            ("carriage return and line feed", b"\r\n"),
            ("next line", "\u{85}".as_bytes()),
            ("line separator", "\u{2028}".as_bytes()),
            ("comment", b" # x\n"),
            ("empty lines", b"\n\n  \n"),
            ("tab before the break", b"\t\n"),
        ]);
    }
    draft.push("\n");
}
