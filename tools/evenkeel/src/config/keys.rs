//! Which keys exist, by what names the file, the environment and the flags know them, and how a
//! wrong name is answered.

use std::collections::BTreeMap;

use serde_yaml_ng::Value;

use super::{ConfigError, DEFAULT_TEXT, one_line};

/// Every variable of ours begins with this.
const ENVIRONMENT_PREFIX: &str = "EVENKEEL_";
/// A name this many edits away from a real one is taken for a slip of the finger.
const SLIP_EDITS_MAX: usize = 3;

/// One key with a value, and where that was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Override {
    origin: String,
    key: String,
    value: Value,
}

impl Override {
    /// Reads `section.key=value`; the value is YAML.
    pub(crate) fn from_flag(text: &str) -> Result<Override, ConfigError> {
        let origin = "--set".to_owned();
        match text.split_once('=') {
            Some((key, value)) => Override::new(origin, key.trim(), value),
            None => Err(ConfigError::Syntax {
                origin: format!("`--set {text}`"),
                reason: "expected section.key=value".to_owned(),
            }),
        }
    }

    /// Finds the variables that are keys of ours.
    ///
    /// A name close to a key is refused; others that begin with `EVENKEEL_` are left alone, since
    /// container platforms inject variables named after a service (`EVENKEEL_SERVICE_HOST`).
    pub(crate) fn from_environment(
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Vec<Override>, ConfigError> {
        let keys: BTreeMap<String, String> =
            paths().into_iter().map(|path| (environment_name(&path), path)).collect();
        let mut overrides = Vec::new();
        for (name, value) in variables.filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX)) {
            if let Some(path) = keys.get(&name) {
                overrides.push(Override::new(format!("the variable {name}"), path, &value)?);
            } else if let Some(near) = nearest(&name, keys.keys()) {
                return Err(ConfigError::UnknownKey {
                    origin: "the environment".to_owned(),
                    suggestion: format!("; did you mean `{near}`?"),
                    key: name,
                });
            }
        }
        Ok(overrides)
    }

    /// The error for a value that this key cannot have.
    pub(crate) fn bad_value(&self, error: &serde_yaml_ng::Error) -> ConfigError {
        ConfigError::BadValue {
            origin: self.origin.clone(),
            key: self.key.clone(),
            value: one_line(&self.value),
            reason: error.to_string(),
        }
    }

    fn new(origin: String, key: &str, text: &str) -> Result<Override, ConfigError> {
        let value = serde_yaml_ng::from_str(text).map_err(|error| ConfigError::BadValue {
            origin: origin.clone(),
            key: key.to_owned(),
            value: text.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Override { origin, key: key.to_owned(), value })
    }
}

/// The defaults as one YAML mapping.
pub(crate) fn defaults() -> Value {
    serde_yaml_ng::from_str(DEFAULT_TEXT).expect("a test reads the default file")
}

/// Every key that exists, as `section.key`, in the order of the default file.
pub(crate) fn paths() -> Vec<String> {
    let mut settings = Vec::new();
    flatten("the defaults", "", &defaults(), &mut settings);
    settings.into_iter().map(|setting| setting.key).collect()
}

/// What a key is called in the environment.
pub(crate) fn environment_name(path: &str) -> String {
    format!("{ENVIRONMENT_PREFIX}{}", path.replace('.', "_").to_ascii_uppercase())
}

/// Appends every key that a file sets.
pub(crate) fn read_file(
    name: &str,
    text: &str,
    settings: &mut Vec<Override>,
) -> Result<(), ConfigError> {
    let syntax = |reason: String| ConfigError::Syntax { origin: name.to_owned(), reason };
    match serde_yaml_ng::from_str(text).map_err(|error| syntax(error.to_string()))? {
        Value::Null => Ok(()), // An empty file, or one of comments only.
        value @ Value::Mapping(_) => {
            flatten(name, "", &value, settings);
            Ok(())
        }
        other => Err(syntax(format!("it holds `{}`", one_line(&other)))),
    }
}

/// Puts one setting into `target`, if it is a key there.
pub(crate) fn set(target: &mut Value, setting: &Override) -> Result<(), ConfigError> {
    let mut place = target;
    for part in setting.key.split('.') {
        place = match place.get_mut(part) {
            Some(value) => value,
            None => return Err(unknown(setting)),
        };
    }
    if place.is_mapping() {
        return Err(ConfigError::BadValue {
            origin: setting.origin.clone(),
            key: setting.key.clone(),
            value: one_line(&setting.value),
            reason: "it is a section, with keys below it".to_owned(),
        });
    }
    *place = setting.value.clone();
    Ok(())
}

/// Mappings become paths; everything else, lists included, is a value.
fn flatten(origin: &str, prefix: &str, value: &Value, settings: &mut Vec<Override>) {
    let Value::Mapping(mapping) = value else {
        let (origin, key) = (origin.to_owned(), prefix.to_owned());
        return settings.push(Override { origin, key, value: value.clone() });
    };
    for (name, value) in mapping {
        let name = one_line(name);
        let path = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        // An empty section sets nothing.
        if !matches!(value, Value::Null) || !is_section(&path) {
            flatten(origin, &path, value, settings);
        }
    }
}

fn is_section(path: &str) -> bool {
    let defaults = defaults();
    let place = path.split('.').try_fold(&defaults, |place, part| place.get(part));
    place.is_some_and(|place| place.is_mapping())
}

fn unknown(setting: &Override) -> ConfigError {
    let paths = paths();
    let suggestion = match nearest(&setting.key, paths.iter()) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => "; `evenkeel config default` prints every key".to_owned(),
    };
    let (origin, key) = (setting.origin.clone(), setting.key.clone());
    ConfigError::UnknownKey { origin, key, suggestion }
}

/// The name that takes the fewest edits, if it is near enough. A key in the wrong section counts as
/// near when its last part is right.
fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a String>) -> Option<&'a str> {
    let last = |path: &str| path.rsplit('.').next().unwrap_or(path).to_owned();
    names
        .map(|name| {
            let misplaced = wrong.contains('.') && last(wrong) == last(name);
            (if misplaced { 1 } else { edits(wrong, name) }, name.as_str())
        })
        .min()
        .filter(|(edits, _)| *edits <= SLIP_EDITS_MAX)
        .map(|(_, name)| name)
}

/// Insertions, deletions and substitutions of one letter that turn `from` into `to`
/// (Wagner & Fischer, 1974).
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = above + 1;
        for index in 0..to.len() {
            let substituted = diagonal + usize::from(letter != to[index]);
            diagonal = row[index + 1];
            row[index + 1] = substituted.min(diagonal + 1).min(row[index] + 1);
        }
    }
    row[to.len()]
}
