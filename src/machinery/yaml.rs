//! YAML encoder with the output of `sigs.k8s.io/yaml`, byte for byte: users keep such files under
//! version control.
//!
//! Layout: keys in natural order, lists not indented, lines folded after 80 columns. A string is
//! plain if a YAML 1.1 reader resolves it to the same string. Otherwise it is double quoted because
//! of its content, or single quoted because of its syntax.

use std::cmp::Ordering;

use serde_json::{Map, Value};

/// Column after which lines are folded at the next space.
const WIDTH: usize = 80;
/// Maximum length of a key in bytes; longer ones need the explicit form `? key`.
const MAX_SIMPLE_KEY: usize = 128;

/// Error for a string with a character that YAML does not allow.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("yaml: control characters are not allowed")]
pub(crate) struct ControlCharacter;

/// Encodes a value as YAML with a final newline.
///
/// # Errors
/// A string or key has a character that `sigs.k8s.io/yaml` rejects when it reads the JSON (DEL,
/// most C1 controls, the byte order mark).
pub(crate) fn encode(value: &Value) -> Result<String, ControlCharacter> {
    let mut writer = YamlWriter { out: String::new() };
    writer.node(value, 0, LinePosition::Start)?;
    Ok(writer.out)
}

/// Position on the line before a value, which determines how the value starts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LinePosition {
    /// The start of a line, or after `- `.
    Start,
    /// After `key:`.
    AfterKey,
}

struct YamlWriter {
    out: String,
}

impl YamlWriter {
    /// Writes a value with its lines indented by `indent`, and ends the line.
    fn node(
        &mut self,
        value: &Value,
        indent: usize,
        position: LinePosition,
    ) -> Result<(), ControlCharacter> {
        match value {
            Value::Object(map) if !map.is_empty() => {
                let indent = if position == LinePosition::AfterKey {
                    self.break_line(indent + 2)
                } else {
                    indent
                };
                self.mapping(map, indent)
            }
            Value::Array(items) if !items.is_empty() => {
                let indent = if position == LinePosition::AfterKey {
                    self.break_line(indent)
                } else {
                    indent
                };
                self.sequence(items, indent)
            }
            scalar => {
                if position == LinePosition::AfterKey {
                    self.out.push(' ');
                }
                self.scalar(scalar, indent)?;
                self.out.push('\n');
                Ok(())
            }
        }
    }

    fn mapping(&mut self, map: &Map<String, Value>, indent: usize) -> Result<(), ControlCharacter> {
        let mut fields: Vec<_> = map.iter().collect();
        fields.sort_by(|(a, _), (b, _)| natural_order(a, b));
        for (number, (key, value)) in fields.into_iter().enumerate() {
            if number > 0 {
                self.indent(indent);
            }
            let is_simple = key.len() <= MAX_SIMPLE_KEY && !key.contains('\n');
            if !is_simple {
                self.out.push_str("? ");
            }
            self.text(key, indent, Folding::Never)?;
            if !is_simple {
                self.break_line(indent);
            }
            self.out.push(':');
            self.node(value, indent, LinePosition::AfterKey)?;
        }
        Ok(())
    }

    fn sequence(&mut self, items: &[Value], indent: usize) -> Result<(), ControlCharacter> {
        for (number, item) in items.iter().enumerate() {
            if number > 0 {
                self.indent(indent);
            }
            self.out.push_str("- ");
            let is_scalar = !matches!(item, Value::Object(_) | Value::Array(_));
            self.node(item, if is_scalar { indent } else { indent + 2 }, LinePosition::Start)?;
        }
        Ok(())
    }

    fn scalar(&mut self, value: &Value, indent: usize) -> Result<(), ControlCharacter> {
        match value {
            Value::String(text) => return self.text(text, indent, Folding::AtSpaces),
            Value::Object(_) => self.out.push_str("{}"),
            Value::Array(_) => self.out.push_str("[]"),
            other => self.out.push_str(&other.to_string()),
        }
        Ok(())
    }

    fn text(
        &mut self,
        text: &str,
        indent: usize,
        folding: Folding,
    ) -> Result<(), ControlCharacter> {
        if text.chars().any(is_rejected) {
            return Err(ControlCharacter);
        }
        match style(text, folding) {
            ScalarStyle::Plain => {
                self.folded(text, indent + 2, folding, |out, character| out.push(character))
            }
            ScalarStyle::Single => {
                self.out.push('\'');
                self.folded(text, indent + 2, folding, |out, character| match character {
                    '\'' => out.push_str("''"),
                    character => out.push(character),
                });
                self.out.push('\'');
            }
            ScalarStyle::Double => self.double_quoted(text, indent + 2, folding),
            ScalarStyle::Literal => self.literal(text, indent + 2),
        }
        Ok(())
    }

    /// Writes characters, and a line break instead of a single space beyond the line width.
    fn folded(
        &mut self,
        text: &str,
        indent: usize,
        folding: Folding,
        put: impl Fn(&mut String, char),
    ) {
        let mut characters = text.char_indices().peekable();
        let mut after_space = false;
        while let Some((at, character)) = characters.next() {
            let next = characters.peek().map(|&(_, next)| next);
            let may_fold =
                folding == Folding::AtSpaces && character == ' ' && !after_space && at > 0;
            if may_fold && next.is_some_and(|next| next != ' ') && self.column() > WIDTH {
                self.break_line(indent);
            } else {
                put(&mut self.out, character);
            }
            after_space = character == ' ';
        }
    }

    fn double_quoted(&mut self, text: &str, indent: usize, folding: Folding) {
        self.out.push('"');
        let mut characters = text.char_indices().peekable();
        let mut after_space = false;
        while let Some((at, character)) = characters.next() {
            let next = characters.peek().map(|&(_, next)| next);
            let may_fold = folding == Folding::AtSpaces
                && character == ' '
                && !after_space
                && at > 0
                && next.is_some();
            if may_fold && self.column() > WIDTH {
                self.break_line(indent);
                if next == Some(' ') {
                    self.out.push('\\');
                }
            } else {
                escape(&mut self.out, character);
            }
            after_space = character == ' ';
        }
        self.out.push('"');
    }

    fn literal(&mut self, text: &str, indent: usize) {
        self.out.push('|');
        if text.starts_with([' ', '\n']) {
            self.out.push('2');
        }
        let body = text.trim_end_matches('\n');
        match text.len() - body.len() {
            0 => self.out.push('-'),
            1 if !body.is_empty() => {}
            _ => self.out.push('+'),
        }
        let lines = text.strip_suffix('\n').unwrap_or(text);
        for line in lines.split('\n') {
            self.out.push('\n');
            if !line.is_empty() {
                self.indent(indent);
                self.out.push_str(line);
            }
        }
    }

    fn break_line(&mut self, indent: usize) -> usize {
        self.out.push('\n');
        self.indent(indent);
        indent
    }

    fn indent(&mut self, indent: usize) {
        self.out.extend(std::iter::repeat_n(' ', indent));
    }

    fn column(&self) -> usize {
        let line = self.out.rfind('\n').map_or(0, |at| at + 1);
        self.out[line..].chars().count()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Folding {
    AtSpaces,
    Never,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ScalarStyle {
    Plain,
    Single,
    Double,
    Literal,
}

fn style(text: &str, folding: Folding) -> ScalarStyle {
    let is_odd = |character: char| character != '\n' && is_special(character);
    let has_break = text.contains('\n');
    let space_meets_break = text.contains(" \n") || text.contains("\n ");
    if text.chars().any(is_odd) || (has_break && folding == Folding::Never) {
        return ScalarStyle::Double;
    }
    if has_break {
        let fits = !text.ends_with(' ') && !text.contains(" \n");
        return if fits { ScalarStyle::Literal } else { ScalarStyle::Double };
    }
    if resolves_to_another_type(text) {
        return ScalarStyle::Double;
    }
    match !space_meets_break && may_be_plain(text) {
        true => ScalarStyle::Plain,
        false => ScalarStyle::Single,
    }
}

/// Returns true if the syntax of a string allows it as a plain scalar in block context
/// (`yaml_emitter_analyze_scalar` of go-yaml).
fn may_be_plain(text: &str) -> bool {
    const OPENERS: &str = "#,[]{}&*!|>'\"%@`";
    let first_needs_quotes = text.starts_with(|character| OPENERS.contains(character));
    let is_marker = ["-", "?"].contains(&text)
        || ["- ", "? ", "---", "..."].iter().any(|mark| text.starts_with(mark));
    let is_key = text.ends_with(':') || text.contains(": ");
    let has_outer_space = text.starts_with(' ') || text.ends_with(' ');
    !(text.is_empty()
        || first_needs_quotes
        || is_marker
        || is_key
        || has_outer_space
        || text.contains(" #"))
}

/// Returns true if a YAML 1.1 reader resolves the plain scalar to another type than a string
/// (`resolve` of go-yaml).
fn resolves_to_another_type(text: &str) -> bool {
    const WORDS: &[&str] = &[
        "", "~", "null", "Null", "NULL", "y", "Y", "yes", "Yes", "YES", "n", "N", "no", "No", "NO",
        "true", "True", "TRUE", "false", "False", "FALSE", "on", "On", "ON", "off", "Off", "OFF",
        ".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf",
        "-.Inf", "-.INF", "<<",
    ];
    WORDS.contains(&text) || is_number(text) || is_sexagesimal(text) || is_date(text)
}

fn is_number(text: &str) -> bool {
    if !text.starts_with(|character: char| character.is_ascii_digit() || "+-.".contains(character))
    {
        return false;
    }
    let bare = text.replace('_', "");
    let unsigned = bare.strip_prefix(['+', '-']).unwrap_or(&bare);
    let based = |prefixes: [&str; 2], radix| {
        let digits = prefixes.iter().find_map(|prefix| unsigned.strip_prefix(prefix));
        digits.is_some_and(|digits| {
            !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix))
        })
    };
    based(["0x", "0X"], 16)
        || based(["0b", "0B"], 2)
        || based(["0o", "0O"], 8)
        || is_decimal(unsigned)
}

/// Matches digits with at most one point, and an exponent.
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
        }
        None => (text, None),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let has_digits = !whole.is_empty() || !fraction.is_empty();
    has_digits
        && all_digits(whole)
        && all_digits(fraction)
        && exponent.is_none_or(|digits| !digits.is_empty() && all_digits(digits))
}

/// Matches sexagesimal numbers of YAML 1.1 such as `1:30` (`isBase60Float` of go-yaml).
fn is_sexagesimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let whole = unsigned.split_once('.').map_or(unsigned, |(whole, _)| whole);
    let mut parts = whole.split(':');
    let is_start = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_digit())
            && part.bytes().all(|b| b.is_ascii_digit() || b == b'_')
    };
    let is_sixtieth = |part: &str| {
        (1..=2).contains(&part.len()) && part.parse::<u8>().is_ok_and(|number| number < 60)
    };
    whole.contains(':') && parts.next().is_some_and(is_start) && parts.all(is_sixtieth)
}

/// Matches dates, with or without a time of day.
fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let year = bytes.len() >= 8 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b'-';
    if !year {
        return false;
    }
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some(text[at + 1..].trim_start())),
        None => (text, None),
    };
    let number = |part: &str| {
        (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_day = date[5..].split_once('-').is_some_and(|(month, day)| number(month) && number(day));
    is_day
        && time
            .is_none_or(|time| time.starts_with(|c: char| c.is_ascii_digit()) && time.contains(':'))
}

/// Matches characters that a YAML reader rejects, even inside JSON strings.
fn is_rejected(character: char) -> bool {
    matches!(character, '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// Matches characters that need an escape sequence.
fn is_special(character: char) -> bool {
    matches!(character, '\0'..='\u{1f}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn escape(out: &mut String, character: char) {
    let short = match character {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        character if is_special(character) => {
            out.push_str(&format!("\\x{:02X}", u32::from(character)));
            return;
        }
        character => {
            out.push(character);
            return;
        }
    };
    out.push('\\');
    out.push(short);
}

/// Maximum number of digits that the order of keys considers, so that a `u64` can hold their value.
const MAX_DIGITS: usize = 18;

/// Order of keys: letters by character, runs of digits by value, other characters before letters
/// (`keyList.Less` of go-yaml).
///
/// Reads at most the length of the shorter key, because a sort compares a long key with many short
/// ones.
fn natural_order(a: &str, b: &str) -> Ordering {
    let common = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let (before, left) = a.split_at(a.floor_char_boundary(common));
    let right = &b[before.len()..];
    let (Some(first), Some(second)) = (left.chars().next(), right.chars().next()) else {
        return left.len().cmp(&right.len());
    };
    let after_digit = before.ends_with(|character: char| character.is_ascii_digit());
    match (first.is_alphabetic(), second.is_alphabetic()) {
        (true, true) => first.cmp(&second),
        (true, false) if after_digit => Ordering::Less,
        (false, true) if after_digit => Ordering::Greater,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            let has_zero = first == '0' || second == '0';
            let mut digits_before = before.bytes().rev().take_while(u8::is_ascii_digit);
            let lead = u64::from(has_zero && digits_before.any(|digit| digit != b'0'));
            number(left, lead).cmp(&number(right, lead)).then(first.cmp(&second))
        }
    }
}

/// Value of the leading digits of a text after the digit `lead`, and their count.
fn number(text: &str, lead: u64) -> (u64, usize) {
    let digits = text.bytes().take(MAX_DIGITS).take_while(u8::is_ascii_digit);
    digits
        .fold((lead, 0), |(value, count), digit| (value * 10 + u64::from(digit - b'0'), count + 1))
}

#[cfg(test)]
mod tests;
