//! Static bearer tokens in a CSV file with lines `token,user,uid,"group1,group2"`.
//!
//! As `NewCSV` in `k8s.io/apiserver/pkg/authentication/token/tokenfile/tokenfile.go`.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::User;

/// Tokens of a file, stored as hashes.
pub struct TokenFile {
    users: Vec<([u8; 32], Arc<User>)>,
}

/// Error of parsing a token file.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// Malformed CSV.
    #[error("it is not a CSV file: {0}")]
    Csv(#[from] csv::Error),
    /// Line with too few columns. The error omits its content, which may be a token.
    #[error("line {line} has {columns} columns, at least 3 are needed: token, user name, user UID")]
    TooFewColumns {
        /// Line number, from 1.
        line: u64,
        /// Number of columns.
        columns: usize,
    },
    /// Line with an empty token or user name.
    #[error("line {line} has an empty {column}")]
    Empty {
        /// Line number, from 1.
        line: u64,
        /// Name of the empty column.
        column: &'static str,
    },
    /// Token of an earlier line.
    #[error("line {line} has the token of an earlier line")]
    DuplicateToken {
        /// Line number, from 1.
        line: u64,
    },
    /// File without a token.
    #[error("it contains no token")]
    NoTokens,
}

impl TokenFile {
    /// Parses the content of a file.
    ///
    /// # Errors
    /// The first invalid line, malformed CSV, or no token.
    pub fn parse(content: &[u8]) -> Result<Self, TokenFileError> {
        let mut reader = csv::ReaderBuilder::new();
        let mut reader = reader
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .comment(Some(b'#'))
            .from_reader(content);
        let mut users: Vec<([u8; 32], Arc<User>)> = Vec::new();
        for record in reader.records() {
            let record = record?;
            let line = record.position().map_or(0, csv::Position::line);
            let (hash, user) = read_line(&record, line)?;
            if users.iter().any(|(other, _)| *other == hash) {
                return Err(TokenFileError::DuplicateToken { line });
            }
            users.push((hash, user));
        }
        if users.is_empty() { Err(TokenFileError::NoTokens) } else { Ok(Self { users }) }
    }

    /// User of a token. Takes the same time for every token, valid or not.
    pub fn user(&self, token: &str) -> Option<Arc<User>> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        let mut found = None;
        for (known, user) in &self.users {
            if bool::from(known.ct_eq(&hash)) {
                found = Some(user);
            }
        }
        found.cloned()
    }
}

fn read_line(
    record: &csv::StringRecord,
    line: u64,
) -> Result<([u8; 32], Arc<User>), TokenFileError> {
    if record.len() < 3 {
        return Err(TokenFileError::TooFewColumns { line, columns: record.len() });
    }
    for (column, name) in [(0, "token"), (1, "user name")] {
        if record[column].is_empty() {
            return Err(TokenFileError::Empty { line, column: name });
        }
    }
    let groups = record
        .get(3)
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|group| !group.is_empty());
    let groups = groups.map(str::to_owned).collect();
    let user = User { name: record[1].into(), uid: record[2].into(), groups, ..User::default() };
    Ok((Sha256::digest(&record[0]).into(), user.authenticated()))
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenFile({} tokens)", self.users.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(content: &str) -> String {
        TokenFile::parse(content.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn errors_name_the_line_but_not_the_token() {
        assert_eq!(
            error("a,b,c\nsecret,x\n"),
            "line 2 has 2 columns, at least 3 are needed: token, user name, user UID"
        );
        assert_eq!(error(",b,c\n"), "line 1 has an empty token");
        assert_eq!(error("a,b,c\na,d,e\n"), "line 2 has the token of an earlier line");
        assert_eq!(error("\n"), "it contains no token");
    }

    #[test]
    fn debug_output_hides_the_tokens() {
        let tokens = TokenFile::parse(b"secret,b,c").unwrap();
        assert_eq!(format!("{tokens:?}"), "TokenFile(1 tokens)");
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_file_does_not_panic(content: Vec<u8>) {
            let _ = TokenFile::parse(&content);
        }
    }
}
