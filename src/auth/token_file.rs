//! Static bearer tokens in a CSV file with lines `token,user,uid,"group1,group2"`.
//!
//! As `NewCSV` in `k8s.io/apiserver/pkg/authentication/token/tokenfile/tokenfile.go`.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use subtle::ConstantTimeEq;

use super::User;

/// Tokens of a file and their users.
pub struct TokenFile {
    hasher: RandomState,
    tokens: Vec<KnownToken>,
}

/// Token and its user.
struct KnownToken {
    /// Hash of the token with a secret key. Clients cannot predict which tokens have equal hashes,
    /// so the time of a lookup tells nothing about a token.
    hash: u64,
    token: Box<str>,
    user: Arc<User>,
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
        let mut file = Self { hasher: RandomState::new(), tokens: Vec::new() };
        for record in reader.records() {
            let record = record?;
            let line = record.position().map_or(0, csv::Position::line);
            let user = read_line(&record, line)?;
            let (token, hash) = (&record[0], file.hasher.hash_one(&record[0]));
            if file.find(token, hash).is_some() {
                return Err(TokenFileError::DuplicateToken { line });
            }
            file.tokens.push(KnownToken { hash, token: token.into(), user });
        }
        if file.tokens.is_empty() { Err(TokenFileError::NoTokens) } else { Ok(file) }
    }

    /// User of a token.
    pub fn user(&self, token: &str) -> Option<Arc<User>> {
        self.find(token, self.hasher.hash_one(token)).map(|known| known.user.clone())
    }

    fn find(&self, token: &str, hash: u64) -> Option<&KnownToken> {
        self.tokens.iter().find(|known| {
            known.hash == hash && bool::from(known.token.as_bytes().ct_eq(token.as_bytes()))
        })
    }
}

fn read_line(record: &csv::StringRecord, line: u64) -> Result<Arc<User>, TokenFileError> {
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
    Ok(user.authenticated())
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenFile({} tokens)", self.tokens.len())
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
    fn only_a_whole_token_has_a_user() {
        let tokens = TokenFile::parse(b"secret,b,c\nsecrets,d,e\n").unwrap();
        for (token, name) in [
            ("secret", Some("b")),
            ("secrets", Some("d")),
            ("secre", None),
            ("", None),
            ("b", None),
        ] {
            let user = tokens.user(token);
            assert_eq!(user.as_ref().map(|user| user.name.as_str()), name, "{token:?}");
        }
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
