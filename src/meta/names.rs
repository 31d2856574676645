//! The rule for names of objects that become a segment of a path.

/// Why a name that is a segment of a URL path is not allowed; empty if it is.
pub fn path_segment_faults(name: &str) -> Vec<&'static str> {
    match name {
        "." => return vec!["may not be '.'"],
        ".." => return vec!["may not be '..'"],
        _ => {}
    }
    let forbidden = [('/', "may not contain '/'"), ('%', "may not contain '%'")];
    forbidden.into_iter().filter(|(letter, _)| name.contains(*letter)).map(|(_, text)| text).collect()
}
