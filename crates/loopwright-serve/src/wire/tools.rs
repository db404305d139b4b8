//! Tools and the choice among them, as OpenAI writes them.

use crate::{
    Error, Result,
    ask::{Tool, ToolChoice},
};
use serde::Deserialize;
use serde_json::{Value, json};

/// Tools of one request.
pub(crate) const N_TOOLS_MAX: usize = 128;
const N_NAME_CHARS_MAX: usize = 128;

/// What a request says of tools.
#[derive(Debug, Deserialize)]
pub(crate) struct ToolFields {
    tools: Option<Vec<Value>>,
    tool_choice: Option<Value>,
    parallel_tool_calls: Option<bool>,
}

/// The same, read.
#[derive(Debug, PartialEq)]
pub(crate) struct Tools {
    pub(crate) tools: Vec<Tool>,
    pub(crate) choice: ToolChoice,
    pub(crate) parallel: bool,
}

impl ToolFields {
    /// `function` leads to a tool's fields: chat completions wrap them in an object, responses do not.
    pub(crate) fn read(self, function: impl Fn(&Value) -> &Value) -> Result<Tools> {
        let given = self.tools.unwrap_or_default();
        let tools = given.iter().enumerate().map(|(i, tool)| read_tool(i, tool, function(tool)));
        let tools: Vec<Tool> = tools.collect::<Result<_>>()?;
        let choice = read_choice(self.tool_choice.as_ref(), &function)?;
        let parallel = self.parallel_tool_calls.unwrap_or(true);
        checked(Tools { tools, choice, parallel })
    }
}

fn read_tool(i: usize, tool: &Value, fields: &Value) -> Result<Tool> {
    if tool["type"] != "function" {
        let param = format!("tools[{i}].type");
        let message = format!("`{param}` must be `function`, got {}", tool["type"]);
        return Err(Error::invalid(&param, "unsupported_value", message));
    }
    tool_of(&format!("tools[{i}].function"), fields, "parameters")
}

/// A tool from its fields; `parameters` names the one with the schema.
pub(crate) fn tool_of(param: &str, fields: &Value, parameters: &str) -> Result<Tool> {
    let name = fields["name"].as_str().unwrap_or_default();
    let is_fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/');
    if name.is_empty() || name.len() > N_NAME_CHARS_MAX || !name.chars().all(is_fit) {
        let param = format!("{param}.name");
        let message = format!("`{param}` must be 1 to {N_NAME_CHARS_MAX} letters, digits, `_` or `-`, got `{name}`");
        return Err(Error::invalid(&param, "invalid_value", message));
    }
    let schema = match &fields[parameters] {
        Value::Null => json!({"type": "object", "properties": {}}),
        schema @ Value::Object(_) => schema.clone(),
        other => {
            let param = format!("{param}.{parameters}");
            return Err(Error::invalid(
                &param,
                "invalid_value",
                format!("`{param}` must be a JSON schema, got {other}"),
            ));
        }
    };
    Ok(Tool {
        name: name.into(),
        description: fields["description"].as_str().map(str::to_owned),
        parameters: schema,
        strict: fields["strict"].as_bool().unwrap_or_default(),
    })
}

fn read_choice<'v>(choice: Option<&'v Value>, function: impl Fn(&'v Value) -> &'v Value) -> Result<ToolChoice> {
    let wrong = || {
        let message = "`tool_choice` must be none, auto, required or `{\"type\": \"function\", …}` with a name";
        Err(Error::invalid("tool_choice", "invalid_value", message))
    };
    match choice {
        None | Some(Value::Null) => Ok(ToolChoice::Auto),
        Some(Value::String(word)) => match word.as_str() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" | "any" => Ok(ToolChoice::Required),
            _ => wrong(),
        },
        Some(object) => match (object["type"].as_str(), function(object)["name"].as_str()) {
            (Some("function"), Some(name)) => Ok(ToolChoice::Named(name.into())),
            _ => wrong(),
        },
    }
}

/// Tools that fit together with the choice among them.
pub(crate) fn checked(mut tools: Tools) -> Result<Tools> {
    if tools.tools.len() > N_TOOLS_MAX {
        let message = format!("`tools` must hold at most {N_TOOLS_MAX} tools, got {}", tools.tools.len());
        return Err(Error::invalid("tools", "invalid_value", message));
    }
    let mut names: Vec<&str> = tools.tools.iter().map(|tool| tool.name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::invalid("tools", "invalid_value", format!("`tools` names `{}` twice", pair[0])));
    }
    match &tools.choice {
        ToolChoice::Named(name) if !names.contains(&name.as_str()) => Err(Error::invalid(
            "tool_choice",
            "invalid_value",
            format!("`tool_choice` names `{name}`, which is no tool"),
        )),
        ToolChoice::Required if names.is_empty() => {
            Err(Error::invalid("tool_choice", "invalid_value", "`tool_choice` requires a call, but there are no tools"))
        }
        ToolChoice::Auto if names.is_empty() => {
            tools.choice = ToolChoice::None;
            Ok(tools)
        }
        _ => Ok(tools),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: Value) -> Result<Tools> {
        serde_json::from_value::<ToolFields>(fields).unwrap().read(|tool| &tool["function"])
    }

    #[test]
    fn choices_fit_the_tools() {
        let tools = json!([{"type": "function", "function": {"name": "weather", "strict": true}}]);
        let choice = |choice: Value| read(json!({"tools": tools, "tool_choice": choice})).map(|tools| tools.choice);
        assert_eq!(choice(json!(null)).unwrap(), ToolChoice::Auto);
        assert_eq!(choice(json!("required")).unwrap(), ToolChoice::Required);
        let named = json!({"type": "function", "function": {"name": "weather"}});
        assert_eq!(choice(named).unwrap(), ToolChoice::Named("weather".into()));
        for wrong in [json!("often"), json!({"type": "function", "function": {"name": "x"}}), json!({"type": "x"})] {
            assert_eq!(choice(wrong).unwrap_err().param(), Some("tool_choice"));
        }
        let all = read(json!({"tools": tools, "parallel_tool_calls": false})).unwrap();
        assert!(all.tools[0].strict && !all.parallel);
        assert_eq!(all.tools[0].parameters, json!({"type": "object", "properties": {}}));
        assert_eq!(read(json!({})).unwrap().choice, ToolChoice::None);
        assert_eq!(read(json!({"tool_choice": "required"})).unwrap_err().param(), Some("tool_choice"));
    }

    #[test]
    fn wrong_tools_are_named() {
        for (tool, param) in [
            (json!({"type": "web_search"}), "tools[0].type"),
            (json!({"type": "function", "function": {"name": "a b"}}), "tools[0].function.name"),
            (json!({"type": "function", "function": {"name": "a", "parameters": []}}), "tools[0].function.parameters"),
        ] {
            assert_eq!(read(json!({"tools": [tool]})).unwrap_err().param(), Some(param));
        }
        let twice = json!({"type": "function", "function": {"name": "a"}});
        assert_eq!(read(json!({"tools": [twice, twice]})).unwrap_err().param(), Some("tools"));
    }
}
