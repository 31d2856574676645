//! A grammar of JSON: streams, images, strategic merge patches and image configurations.

use super::draft::{Choice, Draft};

const TEXTS: &[Choice] = &[
    ("escapes", br#""a\"\\\/\b\f\n\r\t\u00e9""#),
    ("surrogate pair", br#""\ud83d\ude00""#),
    ("lone high surrogate", br#""x\ud83d""#),
    ("lone low surrogate", br#""\ude00x""#),
    ("two high surrogates", br#""\ud83d\ud83d\ude00""#),
    ("surrogate before an escape", br#""\ud83d\n\uD83D\u0041""#),
    ("invalid UTF-8", b"\"caf\xe9\""),
    ("truncated UTF-8", b"\"\xe4\xb8\xf0\x9f\x98\""),
    ("surrogate in UTF-8", b"\"\xed\xa0\x80\""),
    ("overlong UTF-8", b"\"\xc0\xaf\xf5\x80\""),
    ("line separator", "\"a\u{2028}b\u{2029}\u{85}\"".as_bytes()),
    ("noncharacter", "\"\u{fffe}\u{feff}\u{7f}\"".as_bytes()),
    ("control character", b"\"a\x01b\""),
    ("line break in a string", b"\"a\nb\""),
    ("unknown escape", br#""\x41""#),
    ("short escape", br#""\u12""#),
    ("null", b"null"),
    ("number for a string", b"5"),
    ("boolean for a string", b"true"),
    ("list for a string", b"[]"),
];

const INTEGERS: &[Choice] = &[
    ("negative zero", b"-0"),
    ("whole number with a fraction", b"1.0"),
    ("fraction", b"1.5"),
    ("negative zero with a fraction", b"-0.0"),
    ("whole number with an exponent", b"15e2"),
    ("number out of range", b"1e999"),
    ("negative number out of range", b"-1e999"),
    ("number that vanishes", b"1e-999"),
    ("largest integer", b"9223372036854775807"),
    ("smallest integer", b"-9223372036854775808"),
    ("integer over 64 bits", b"9223372036854775808"),
    ("unsigned integer", b"18446744073709551615"),
    ("leading zero", b"007"),
    ("plus sign", b"+1"),
    ("hexadecimal", b"0x10"),
    ("lone minus", b"-"),
    ("no digits behind the point", b"1."),
    ("null", b"null"),
    ("string for a number", b"\"5\""),
    ("object for a number", b"{}"),
    ("NaN", b"NaN"),
];

const BOOLEANS: &[Choice] = &[
    ("false", b"false"),
    ("null", b"null"),
    ("number for a boolean", b"0"),
    ("string for a boolean", b"\"true\""),
    ("wrong literal", b"True"),
];

const STRUCTS: &[Choice] = &[
    ("null", b"null"),
    ("empty object", b"{}"),
    ("list for an object", b"[]"),
    ("string for an object", b"\"x\""),
    ("number for an object", b"1"),
];

const LISTS: &[Choice] = &[
    ("null", b"null"),
    ("empty list", b"[]"),
    ("null in a list", b"[null]"),
    ("object for a list", b"{}"),
    ("string for a list", b"\"x\""),
];

const SPACES: &[Choice] = &[
    ("white space", b" \t\r\n"),
    ("form feed", b"\x0c"),
    ("no-break space", "\u{a0}".as_bytes()),
    ("byte order mark", "\u{feff}".as_bytes()),
    ("comment", b"/**/"),
];

/// Writes an image stream.
pub(super) fn stream(draft: &mut Draft) {
    space(draft);
    object(
        draft,
        &[("kind", kind), ("apiVersion", version), ("metadata", metadata), ("spec", spec)],
    );
    space(draft);
    if draft.below(200) == 0 {
        draft.choose(&[("text behind the value", b"{}"), ("closing brace", b"}")]);
    }
    draft.damage();
}

/// Writes an image.
pub(super) fn image(draft: &mut Draft) {
    object(
        draft,
        &[
            ("kind", |draft| draft.push("\"Image\"")),
            ("apiVersion", version),
            ("metadata", metadata),
            ("dockerImageReference", text),
            ("dockerImageMetadata", docker_image),
            ("dockerImageLayers", |draft| {
                list(draft, |draft| {
                    object(draft, &[("name", text), ("size", integer), ("mediaType", text)]);
                });
            }),
        ],
    );
    draft.damage();
}

/// Writes an image configuration, which is UTF-8.
pub(super) fn config(draft: &mut Draft) {
    object(
        draft,
        &[
            ("created", time),
            ("author", text),
            ("Architecture", text),
            ("SIZE", integer),
            ("config", container),
        ],
    );
    if draft.below(50) == 0 {
        draft.mark("10,000 levels in a field that nobody reads");
        let depth = 9_997 + draft.below(4);
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        let config = std::mem::take(&mut draft.text);
        draft.push(&format!("{{\"deep\":{open}{close},"));
        draft.text.extend_from_slice(config.strip_prefix(b"{").unwrap_or(b"}"));
    }
    draft.damage();
    draft.text = String::from_utf8_lossy(&draft.text).into_owned().into_bytes();
}

/// Writes a strategic merge patch of a stream, which may hold no directives.
pub(super) fn patch(draft: &mut Draft) {
    object(draft, &[("metadata", metadata), ("spec", spec)]);
    draft.damage();
}

type Writer = fn(&mut Draft);

/// Writes an object with some of the fields, some of them twice.
fn object(draft: &mut Draft, fields: &[(&str, Writer)]) {
    draft.push("{");
    let mut is_first = true;
    let mut field = |draft: &mut Draft, name: &str, write: Writer| {
        if !std::mem::take(&mut is_first) {
            draft.push(",");
        }
        space(draft);
        draft.push(&format!("\"{name}\":"));
        space(draft);
        write(draft);
    };
    for (name, write) in fields {
        if draft.below(10) < 8 {
            field(draft, name, *write);
        }
        if draft.is_odd() && draft.below(4) == 0 {
            draft.mark("unknown field");
            field(draft, "nobody", anything);
        }
    }
    if draft.is_odd() && draft.below(3) == 0 {
        draft.mark("key given twice");
        let (name, write) = fields[draft.below(fields.len())];
        field(draft, name, write);
    }
    if draft.is_odd() && draft.below(3) == 0 {
        draft.mark("key in another case");
        let (name, write) = fields[draft.below(fields.len())];
        field(draft, &name.to_uppercase(), write);
    }
    space(draft);
    draft.push("}");
}

fn list(draft: &mut Draft, write: Writer) {
    if draft.is_odd() {
        return draft.choose(LISTS);
    }
    draft.push("[");
    for at in 0..draft.below(4) {
        if at > 0 {
            draft.push(",");
        }
        if draft.is_odd() { draft.choose(STRUCTS) } else { write(draft) }
    }
    draft.push("]");
}

fn map(draft: &mut Draft) {
    if draft.is_odd() {
        return draft.choose(STRUCTS);
    }
    object(draft, &[("a", text), ("b", text), ("c\\u00e9", text)]);
}

fn space(draft: &mut Draft) {
    if draft.is_odd() && draft.below(6) == 0 {
        let common = usize::from(draft.below(4) > 0);
        draft.choose(&SPACES[..if common == 1 { 1 } else { SPACES.len() }]);
    }
}

fn kind(draft: &mut Draft) {
    draft.push("\"ImageStream\"");
}

fn version(draft: &mut Draft) {
    draft.push("\"image.openshift.io/v1\"");
}

fn text(draft: &mut Draft) {
    draft.value("\"x\"", TEXTS);
}

/// The name of a tag, which no other has: streams are maps of tags.
fn unique_name(draft: &mut Draft) {
    draft.push("\"");
    draft.unique_name();
    draft.push("\"");
}

fn integer(draft: &mut Draft) {
    draft.value("7", INTEGERS);
}

fn boolean(draft: &mut Draft) {
    draft.value("true", BOOLEANS);
}

fn time(draft: &mut Draft) {
    if draft.is_odd() && draft.below(3) == 0 {
        return draft.choose(&[
            ("null", b"null"),
            ("number for a time", b"5"),
            ("escapes in a time", br#""2024\u002d01-01T00:00:00Z""#),
        ]);
    }
    draft.push("\"");
    super::time::time(draft);
    draft.push("\"");
}

/// A value of a field that nobody reads.
fn anything(draft: &mut Draft) {
    match draft.below(4) {
        0 => draft.choose(INTEGERS),
        1 => draft.choose(TEXTS),
        2 => list(draft, integer),
        _ => draft.choose(&[("deep value", b"[[[[{\"a\":[1e999,{\"a\":1,\"a\":2}]}]]]]")]),
    }
}

fn metadata(draft: &mut Draft) {
    if draft.is_odd() {
        return draft.choose(STRUCTS);
    }
    object(
        draft,
        &[
            ("name", text),
            ("labels", map),
            ("annotations", map),
            ("generation", integer),
            ("creationTimestamp", time),
            ("finalizers", |draft| list(draft, text)),
            ("ownerReferences", |draft| {
                list(draft, |draft| object(draft, &[("name", text), ("controller", boolean)]));
            }),
        ],
    );
}

fn spec(draft: &mut Draft) {
    if draft.is_odd() {
        return draft.choose(STRUCTS);
    }
    object(
        draft,
        &[
            ("lookupPolicy", |draft| object(draft, &[("local", boolean)])),
            ("dockerImageRepository", text),
            ("tags", |draft| list(draft, tag)),
        ],
    );
}

fn tag(draft: &mut Draft) {
    object(
        draft,
        &[
            ("name", unique_name),
            ("annotations", map),
            ("from", |draft| object(draft, &[("kind", text), ("name", text)])),
            ("reference", boolean),
            ("generation", integer),
            ("importPolicy", |draft| {
                object(draft, &[("insecure", boolean), ("scheduled", boolean)])
            }),
        ],
    );
}

fn docker_image(draft: &mut Draft) {
    draft.push("{\"kind\":\"DockerImage\",\"apiVersion\":\"1.0\",\"Rest\":");
    anything(draft);
    draft.push(",\"Size\":");
    integer(draft);
    draft.push(",\"Created\":");
    time(draft);
    if draft.is_odd() {
        draft.mark("key given twice");
        draft.push(",\"Config\":");
        container(draft);
    }
    draft.push(",\"Config\":");
    container(draft);
    draft.push("}");
}

fn container(draft: &mut Draft) {
    if draft.is_odd() {
        return draft.choose(STRUCTS);
    }
    object(
        draft,
        &[
            ("User", text),
            ("Tty", boolean),
            ("Env", |draft| list(draft, text)),
            ("Labels", map),
            ("ExposedPorts", |draft| {
                object(draft, &[("80/tcp", |draft| draft.value("{}", STRUCTS))]);
            }),
        ],
    );
}
