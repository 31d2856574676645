//! `--controllers`: the controllers that run, in the grammar of kube-controller-manager.

use std::fmt;
use std::str::FromStr;

use clap::Args;

/// Flags of all controllers.
#[derive(Clone, Debug, Default, Args)]
#[group(skip)]
#[command(next_help_heading = "Controllers")]
pub struct Options {
    /// Controllers that run: `*` for all, NAME for one, -NAME for all but this one.
    ///
    /// `*,-image-import` leaves imports to the controller of another server, such as that of
    /// OpenShift; without one, tags get their images by `oc import-image` only, and writes of tags do
    /// not warn about that. Controllers: image-import, pull-secrets, events, usage,
    /// registration, quota. Work that the
    /// server depends on, such as its certificates, always runs.
    #[arg(long, value_name = "LIST", default_value_t, allow_hyphen_values = true)]
    pub controllers: ControllerSelection,
}

/// A controller that can be turned off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControllerName {
    /// Imports of the images of spec tags.
    ImageImport,
    /// Watch of pull secrets, for imports that wait for credentials.
    PullSecrets,
    /// Events of imports.
    Events,
    /// Gauges of stored objects.
    Usage,
    /// CA of the server in its APIService.
    Registration,
    /// Usage of the quotas that only OpenShift counts.
    Quota,
}

/// A list of controllers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerSelection(Vec<SelectionItem>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SelectionItem {
    All,
    Only(ControllerName),
    Not(ControllerName),
}

impl ControllerName {
    const ALL: [Self; 6] = [
        Self::ImageImport,
        Self::PullSecrets,
        Self::Events,
        Self::Usage,
        Self::Registration,
        Self::Quota,
    ];

    /// Returns the name in the flag, in logs and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ImageImport => "image-import",
            Self::PullSecrets => "pull-secrets",
            Self::Events => "events",
            Self::Usage => "usage",
            Self::Registration => "registration",
            Self::Quota => "quota",
        }
    }
}

impl ControllerSelection {
    /// Returns true if a controller runs. The first item that names it decides, as in
    /// `IsControllerEnabled` in k8s.io/controller-manager/pkg/app/helper.go.
    pub fn is_enabled(&self, name: ControllerName) -> bool {
        let named = self.0.iter().find_map(|item| match item {
            SelectionItem::Only(each) if *each == name => Some(true),
            SelectionItem::Not(each) if *each == name => Some(false),
            _ => None,
        });
        named.unwrap_or_else(|| self.0.contains(&SelectionItem::All))
    }
}

impl Default for ControllerSelection {
    fn default() -> Self {
        Self(vec![SelectionItem::All])
    }
}

impl FromStr for ControllerSelection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(|item| SelectionItem::parse(item.trim()))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl fmt::Display for ControllerSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, item) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match item {
                SelectionItem::All => write!(f, "{comma}*")?,
                SelectionItem::Only(name) => write!(f, "{comma}{}", name.as_str())?,
                SelectionItem::Not(name) => write!(f, "{comma}-{}", name.as_str())?,
            }
        }
        Ok(())
    }
}

impl SelectionItem {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::All);
        }
        let (name, item): (&str, fn(ControllerName) -> Self) = match text.strip_prefix('-') {
            Some(name) => (name, Self::Not),
            None => (text, Self::Only),
        };
        let found = ControllerName::ALL.into_iter().find(|each| each.as_str() == name);
        found.map(item).ok_or_else(|| {
            let known = ControllerName::ALL.map(ControllerName::as_str).join(", ");
            format!("{name:?} is not in the list of known controllers: {known}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enabled(list: &str) -> Vec<&'static str> {
        let selection: ControllerSelection = list.parse().unwrap();
        assert_eq!(selection.to_string().parse(), Ok(selection.clone()));
        let all = ControllerName::ALL.into_iter();
        all.filter(|name| selection.is_enabled(*name)).map(ControllerName::as_str).collect()
    }

    #[test]
    fn first_item_that_names_a_controller_decides() {
        let all = ControllerName::ALL.map(ControllerName::as_str);
        assert_eq!(enabled("*"), all);
        assert_eq!(enabled("*,-image-import"), all[1..]);
        assert_eq!(enabled("-image-import,*"), all[1..]);
        assert_eq!(enabled("usage, events"), ["events", "usage"]);
        assert_eq!(enabled("-usage"), [""; 0]);
        assert_eq!(enabled("usage,-usage"), ["usage"]);
        assert_eq!(ControllerSelection::default(), "*".parse().unwrap());
    }

    #[test]
    fn unknown_name_is_refused_with_the_known_ones() {
        for list in ["import", "*,-import", "-import"] {
            let error = list.parse::<ControllerSelection>().unwrap_err();
            let start = "\"import\" is not in the list of known controllers: image-import, ";
            assert!(error.starts_with(start), "{error}");
        }
        assert!("".parse::<ControllerSelection>().is_err());
    }
}
