//! A grammar of times.

use super::draft::Draft;

/// Writes a time.
pub(super) fn time(draft: &mut Draft) {
    draft.value(
        "2024",
        &[
            ("leap year", b"2000"),
            ("first year", b"0001"),
            ("year of 3 digits", b"202"),
            ("year with a sign", b"-002024"),
            ("year of letters", b"20x4"),
        ],
    );
    draft.value(
        "-02-",
        &[
            ("no hyphens", b"02"),
            ("month of one digit", b"-2-"),
            ("month out of range", b"-13-"),
            ("month zero", b"-00-"),
            ("slashes", b"/02/"),
        ],
    );
    draft.value(
        "28",
        &[
            ("leap day", b"29"),
            ("day out of range", b"30"),
            ("day zero", b"00"),
            ("day of one digit", b"1"),
            ("day of three digits", b"001"),
        ],
    );
    draft.value(
        "T",
        &[("lower-case t", b"t"), ("space for T", b" "), ("no T", b""), ("underscore for T", b"_")],
    );
    draft.value(
        "12",
        &[
            ("hour of one digit", b"7"),
            ("hour 24", b"24"),
            ("hour of three digits", b"012"),
            ("last hour", b"23"),
        ],
    );
    draft.value(
        ":30:",
        &[
            ("no seconds", b":30"),
            ("no colons", b"30"),
            ("minute of one digit", b":3:"),
            ("minute 60", b":60:"),
        ],
    );
    draft.value(
        "15",
        &[("leap second", b"60"), ("second of one digit", b"5"), ("last second", b"59")],
    );
    draft.value(
        "",
        &[
            ("fraction of a second", b".5"),
            ("fraction of 12 digits", b".123456789012"),
            ("comma before the fraction", b",25"),
            ("point without digits", b"."),
            ("two fractions", b".5.5"),
        ],
    );
    draft.value(
        "Z",
        &[
            ("zone", b"+02:00"),
            ("negative zone", b"-07:30"),
            ("zone without a colon", b"+0200"),
            ("zone of hours", b"+02"),
            ("zone of 24 hours", b"+24:00"),
            ("zone of 25 hours", b"+25:00"),
            ("zone of 60 minutes", b"-00:60"),
            ("zone of 61 minutes", b"-00:61"),
            ("lower-case z", b"z"),
            ("named zone", b"Z[UTC]"),
            ("no zone", b""),
            ("unknown sign of a zone", b"*02:00"),
            ("space behind", b"Z "),
            ("minus sign", "\u{2212}02:00".as_bytes()),
        ],
    );
}
