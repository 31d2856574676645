//! Results of commands on standard output.

use std::fmt;
use std::io::{self, ErrorKind, Write};

/// Prints a line. The exit code tells the result of a command, too: a reader that has gone away, as
/// `head` after its lines, is no error, and any other is reported on standard error.
pub(super) fn print_line(line: fmt::Arguments<'_>) {
    if let Err(error) = write_line(&mut io::stdout(), line) {
        // Without standard error, the exit code remains.
        let _ = writeln!(io::stderr(), "cannot write to standard output: {error}");
    }
}

fn write_line(output: &mut impl Write, line: fmt::Arguments<'_>) -> io::Result<()> {
    match writeln!(output, "{line}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reader_that_has_gone_away_is_no_error() {
        let (reader, mut writer) = io::pipe().unwrap();
        drop(reader);
        write_line(&mut writer, format_args!("line")).unwrap();
        let mut full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        assert!(write_line(&mut full, format_args!("line")).is_err());
    }
}
