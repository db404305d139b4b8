//! Prompt templates: which version a name means, and what it renders.
//!
//! A prompt is named `NAME` (its newest version), `NAME@VERSION`, or `NAME:LABEL`. What it renders becomes the first
//! system message, before those of the client. Templates are Jinja, as chat templates are, and may run for a bounded
//! time; a variable that is not given is an error, not an empty place.
//!
//! ```
//! use loopwright_serve::prompts::PromptTable;
//! use loopwright_types::{Timestamp, prompt::{Prompt, PromptVersion}};
//!
//! let version = |version, template: &str| PromptVersion {
//!     name: "desk".into(), version, template: template.into(), created_at: Timestamp(0),
//! };
//! let prompt = Prompt { name: "desk".into(), newest: 2, labels: [("live".into(), 1)].into(), updated_at: Timestamp(0) };
//! let table = PromptTable::new(vec![prompt], vec![version(1, "Be kind to {{ shop }}."), version(2, "Be brief.")]);
//! let variables = serde_json::json!({"shop": "Mill Lane"});
//! assert_eq!(table.render("desk:live", &variables).unwrap(), "Be kind to Mill Lane.");
//! assert_eq!(table.render("desk", &variables).unwrap(), "Be brief.");
//! assert!(table.render("desk:live", &serde_json::json!({})).unwrap_err().to_string().contains("shop"));
//! ```

use crate::{Error, Result};
use loopwright_types::prompt::{Prompt, PromptVersion};
use minijinja::{Environment, UndefinedBehavior, value::Serde};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};

/// Steps that a template may take.
const FUEL: u64 = 50_000;
/// Longest text that one may render.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// The prompts that there are. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct PromptTable(Arc<Prompts>);

#[derive(Debug, Default)]
struct Prompts {
    by_name: BTreeMap<String, Prompt>,
    templates: BTreeMap<(String, u32), String>,
}

impl PromptTable {
    /// A table of these.
    pub fn new(prompts: Vec<Prompt>, versions: Vec<PromptVersion>) -> Self {
        let by_name = prompts.into_iter().map(|prompt| (prompt.name.clone(), prompt)).collect();
        let templates = versions.into_iter().map(|it| ((it.name, it.version), it.template)).collect();
        Self(Arc::new(Prompts { by_name, templates }))
    }

    /// What a prompt renders with these variables.
    pub fn render(&self, named: &str, variables: &Value) -> Result<String> {
        render(self.template(named)?, variables).map_err(|problem| wrong(format!("the prompt `{named}`: {problem}")))
    }

    fn template(&self, named: &str) -> Result<&str> {
        let missing = || {
            let known: Vec<&str> = self.0.by_name.keys().map(String::as_str).collect();
            let known =
                if known.is_empty() { "there is none".into() } else { format!("there is {}", known.join(", ")) };
            wrong(format!("there is no prompt `{named}`; {known}"))
        };
        let (name, version) = match (named.rsplit_once('@'), named.rsplit_once(':')) {
            (Some((name, version)), _) => (name, version.parse().map_err(|_| missing())?),
            (None, Some((name, label))) => {
                let prompt = self.0.by_name.get(name).ok_or_else(missing)?;
                (name, *prompt.labels.get(label).ok_or_else(missing)?)
            }
            (None, None) => (named, self.0.by_name.get(named).ok_or_else(missing)?.newest),
        };
        self.0.templates.get(&(name.to_string(), version)).map(String::as_str).ok_or_else(missing)
    }
}

fn wrong(message: String) -> Error {
    Error::invalid("prompt", "invalid_prompt", message)
}

/// Renders a template. The error says in words what is wrong.
pub fn render(template: &str, variables: &Value) -> std::result::Result<String, String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    let rendered = environment.render_str(template, Serde(variables)).map_err(|problem| told(template, &problem))?;
    if rendered.len() > TEXT_BYTES_MAX {
        return Err(format!("it renders more than {TEXT_BYTES_MAX} bytes"));
    }
    Ok(rendered)
}

/// Checks that a template can be read at all. The error says in words what is wrong.
pub fn check(template: &str) -> std::result::Result<(), String> {
    Environment::new().template_from_str(template).map(drop).map_err(|problem| told(template, &problem))
}

/// An error with the part of the template that it is about: strict templates do not name the variable that is missing.
fn told(template: &str, problem: &minijinja::Error) -> String {
    let place = problem.range().and_then(|range| template.get(range)).filter(|place| place.len() <= 80);
    let line = problem.line().map(|line| format!(" in line {line}")).unwrap_or_default();
    match place {
        Some(place) => format!("{problem}{line}, at `{}`", place.trim()),
        None => format!("{problem}{line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::Timestamp;
    use serde_json::json;

    fn table() -> PromptTable {
        let version = |version, template: &str| PromptVersion {
            name: "desk".into(),
            version,
            template: template.into(),
            created_at: Timestamp(0),
        };
        let labels = [("production".to_string(), 1), ("gone".to_string(), 9)].into();
        let prompt = Prompt { name: "desk".into(), newest: 2, labels, updated_at: Timestamp(0) };
        PromptTable::new(vec![prompt], vec![version(1, "one"), version(2, "{% for x in n %}{{ x }};{% endfor %}")])
    }

    #[test]
    fn a_prompt_is_named_by_version_by_label_or_as_its_newest() {
        let table = table();
        let rendered = |named: &str| table.render(named, &json!({"n": [1, 2]})).map_err(|error| error.to_string());
        assert_eq!(rendered("desk").as_deref(), Ok("1;2;"));
        assert_eq!(rendered("desk@1").as_deref(), Ok("one"));
        assert_eq!(rendered("desk:production").as_deref(), Ok("one"));
        for missing in ["nobody", "desk@3", "desk@x", "desk:staging", "desk:gone", ""] {
            assert_eq!(rendered(missing), Err(format!("there is no prompt `{missing}`; there is desk")));
        }
    }

    #[test]
    fn templates_that_cannot_be_rendered_say_why_and_end() {
        assert!(table().render("desk", &json!({})).unwrap_err().to_string().contains("undefined"));
        assert!(check("{{ a").is_err() && check("{{ a }}").is_ok());
        let endless = "{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}";
        assert!(render(endless, &json!({})).unwrap_err().contains("fuel"), "{:?}", render(endless, &json!({})));
        assert!(render("{% include 'secrets' %}", &json!({})).is_err(), "nothing else can be read");
    }
}
