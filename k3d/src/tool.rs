//! Programs that worlds are made with: `docker`, `k3d`, `kubectl`, `helm`.
//!
//! A [`Line`] is data: what would be run can be printed, compared and handed to a stand-in. Only [`process::Processes`] starts
//! anything.
//!
//! **Rejected**: client libraries for Kubernetes and Helm. What is printed by `--plan` would then be a paraphrase of what is
//! done; a line can be run by hand when something is wrong, which is when people look.

pub mod process;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// Values that are only known while a world is made: addresses, ports, keys. In lines they stand as `${NAME}`.
pub type Variables = BTreeMap<String, String>;

/// A command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The program, found in `PATH`.
    pub program: &'static str,
    /// Its arguments, one each, with `${NAME}` for what is not known yet.
    pub arguments: Vec<String>,
    /// What it reads, with the same places.
    pub input: Option<String>,
    /// The variable that is set to what it prints, without blanks around.
    pub sets: Option<String>,
    /// It is ended if it takes longer.
    pub limit: Duration,
}

/// A variable that nothing has set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nothing has set ${{{0}}}")]
pub struct Unset(pub String);

impl Line {
    /// Time for a line that has nothing to wait for. An engine on a busy machine takes seconds for what takes milliseconds otherwise.
    pub const LIMIT: Duration = Duration::from_secs(60);

    /// A line without input.
    pub fn new<A: Into<String>>(program: &'static str, arguments: impl IntoIterator<Item = A>) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Line { program, arguments, input: None, sets: None, limit: Line::LIMIT }
    }

    /// Words without blanks in them.
    pub fn words(program: &'static str, words: &str) -> Self {
        Line::new(program, words.split_whitespace())
    }

    /// With further arguments.
    #[must_use]
    pub fn with<A: Into<String>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// With something to read.
    #[must_use]
    pub fn reading(self, input: String) -> Self {
        Line { input: Some(input), ..self }
    }

    /// Whose output becomes a variable.
    #[must_use]
    pub fn setting(self, variable: impl Into<String>) -> Self {
        Line { sets: Some(variable.into()), ..self }
    }

    /// With another limit.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Line { limit, ..self }
    }

    /// The same with every variable in its place.
    pub fn filled(&self, variables: &Variables) -> Result<Line, Unset> {
        let arguments = self.arguments.iter().map(|argument| fill(argument, variables)).collect::<Result<_, _>>()?;
        let input = self.input.as_deref().map(|input| fill(input, variables)).transpose()?;
        Ok(Line { arguments, input, ..self.clone() })
    }
}

/// Puts variables in their places.
pub fn fill(template: &str, variables: &Variables) -> Result<String, Unset> {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}') else { break };
        out.push_str(before);
        out.push_str(variables.get(name).ok_or_else(|| Unset(name.to_owned()))?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// The name of a variable about something that has a name itself: `IP_ALPHA`, `KEY_BLUE_TEAM`. Names of scenarios have no
/// underscores, so that two never fall together.
pub fn variable(what: &str, of: &str) -> String {
    format!("{what}_{}", of.to_ascii_uppercase().replace('-', "_"))
}

/// The place of a variable in a line.
pub fn place(variable: &str) -> String {
    format!("${{{variable}}}")
}

/// As a shell reads it, with what it sets in front; what it reads is not in it.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(variable) = &self.sets {
            write!(f, "{variable}=$(")?;
        }
        f.write_str(self.program)?;
        for argument in &self.arguments {
            write!(f, " {}", quoted(argument))?;
        }
        if self.sets.is_some() {
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Written<'a> {
            line: String,
            program: &'a str,
            arguments: &'a [String],
            #[serde(skip_serializing_if = "Option::is_none")]
            input: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            sets: Option<&'a str>,
            limit_s: u64,
        }
        let Line { program, arguments, input, sets, limit } = self;
        let (input, sets, limit_s) = (input.as_deref(), sets.as_deref(), limit.as_secs());
        Written { line: self.to_string(), program, arguments, input, sets, limit_s }.serialize(serializer)
    }
}

/// A word as a POSIX shell takes it; `${NAME}` stays a variable.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    if !word.contains("${") {
        return format!("'{}'", word.replace('\'', "'\\''"));
    }
    let mut out = String::from("\"");
    for (position, c) in word.char_indices() {
        let is_variable = word[position..].starts_with("${");
        if matches!(c, '"' | '\\' | '`') || (c == '$' && !is_variable) {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_prints_as_a_shell_reads_it() {
        let line = Line::words("docker", "network inspect --format").with(["{{.Id}} it's"]).setting("ID");
        assert_eq!(line.to_string(), r"ID=$(docker network inspect --format '{{.Id}} it'\''s')");
        let line = Line::new("helm", ["--kubeconfig", "${DIR}/a \"b\".yaml", ""]);
        assert_eq!(line.to_string(), r#"helm --kubeconfig "${DIR}/a \"b\".yaml" ''"#);
    }

    #[test]
    fn a_variable_that_nothing_set_is_an_error_and_not_an_empty_word() {
        let line = Line::new("docker", ["--ip", "${IP_ALPHA}"]).reading("at ${IP_ALPHA}".into());
        assert_eq!(line.filled(&Variables::new()), Err(Unset("IP_ALPHA".into())));
        let known = Variables::from([("IP_ALPHA".into(), "10.1.2.3".into())]);
        let filled = line.filled(&known).unwrap();
        assert_eq!((filled.arguments[1].as_str(), filled.input.as_deref()), ("10.1.2.3", Some("at 10.1.2.3")));
    }

    proptest! {
        // The shell of this machine is the judge: whatever a word has in it, it comes out as it went in.
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_shell_reads_a_word_as_it_was(word in "[ -~\n]{0,20}") {
            prop_assume!(!word.contains("${"));
            let script = format!("printf %s {}", quoted(&word));
            let out = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            prop_assert_eq!(String::from_utf8(out.stdout).unwrap(), word);
        }
    }
}
