//! The environment that templates expect: Python's text methods, its way of writing JSON, the library's functions.

use minijinja::{
    Environment, Error, ErrorKind, Value,
    syntax::SyntaxConfig,
    value::{Kwargs, ValueKind},
};

pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .expect("the default delimiters differ from each other"),
    );
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_filter("tojson", to_json);
    environment
}

/// Python's `json.dumps(value, ensure_ascii=False)`: blanks after colons and commas, entries in their own order, nothing
/// escaped for HTML. With `indent=n` each entry stands on a line of its own.
fn to_json(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent = options.get::<Option<usize>>("indent")?;
    options.assert_all_used()?;
    Ok(Value::from_safe_string(written(value, indent, 0)?))
}

fn written(value: &Value, indent: Option<usize>, depth: usize) -> Result<String, Error> {
    let part = |value: &Value| written(value, indent, depth + 1);
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            let parts = value.try_iter()?.map(|value| part(&value)).collect::<Result<Vec<_>, _>>()?;
            Ok(listed(['[', ']'], &parts, indent, depth))
        }
        ValueKind::Map => {
            let entry = |key: Value| Ok(format!("{}: {}", scalar(&key.to_string())?, part(&value.get_item(&key)?)?));
            let parts = value.try_iter()?.map(entry).collect::<Result<Vec<_>, Error>>()?;
            Ok(listed(['{', '}'], &parts, indent, depth))
        }
        _ => scalar(value),
    }
}

fn scalar(value: &(impl serde::Serialize + ?Sized)) -> Result<String, Error> {
    serde_json::to_string(value)
        .map_err(|source| Error::new(ErrorKind::BadSerialization, "this cannot be written as JSON").with_source(source))
}

fn listed(brackets: [char; 2], parts: &[String], indent: Option<usize>, depth: usize) -> String {
    if parts.is_empty() {
        return brackets.iter().collect();
    }
    let line = |depth: usize| indent.map(|n| format!("\n{}", " ".repeat(n * depth))).unwrap_or_default();
    let between = if indent.is_some() { format!(",{}", line(depth + 1)) } else { ", ".into() };
    format!("{}{}{}{}{}", brackets[0], line(depth + 1), parts.join(&between), line(depth), brackets[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_as_python_writes_it() {
        let value = Value::from(minijinja::value::Serde(serde_json::json!({"a": [1, "é<", true], "b": {}})));
        let render =
            |source: &str| environment().render_str(source, minijinja::context! { value => value.clone() }).unwrap();
        assert_eq!(render("{{ value | tojson }}"), r#"{"a": [1, "é<", true], "b": {}}"#);
        assert_eq!(render("{{ [1] | tojson(indent=2) }}"), "[\n  1\n]");
        assert_eq!(render("{{ ' a b '.strip().split(' ')[-1] }}"), "b");
    }
}
