//! Where each record has its page.

use loopwright_types::{DatasetRef, EntityRef, id::TraceId, model::ModelRef};
use maud::{Markup, html};

/// Percent-encodes a path segment (RFC 3986: unreserved characters and `@` stay).
pub fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A query string of the pairs whose value is not empty; starts with `?` unless nothing is left.
pub fn query(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}={}", segment(value)))
        .collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// A study's name, linked to its page.
pub fn study(name: &str) -> Markup {
    html! { a href={ "/studies/" (segment(name)) } { (name) } }
}

/// The page of a record, if its kind has pages.
pub fn path(entity: &EntityRef) -> Option<String> {
    let id = segment(&entity.id);
    Some(match entity.kind.as_str() {
        "dataset_version" => format!("/datasets/{id}"),
        "run" => format!("/runs/{id}"),
        "study" => format!("/studies/{id}"),
        "model_version" => format!("/models/{id}"),
        "evaluation" => format!("/evaluations/{id}"),
        "package" => format!("/models/{id}#package"),
        "route" => format!("/routes/{id}"),
        "trace" => format!("/traces/{id}"),
        "explanation" => format!("/explanations/{id}"),
        "drift_check" => format!("/drift#{id}"),
        "feedback" => "/feedback".to_string(),
        "erasure" => format!("/subjects#{id}"),
        "subject" => "/subjects".to_string(),
        "job" => format!("/jobs#{id}"),
        _ => return None,
    })
}

/// The kind of a record in words.
pub fn kind_words(kind: &str) -> String {
    match kind {
        "dataset_version" => "dataset".into(),
        "model_version" => "model".into(),
        "drift_check" => "drift check".into(),
        "api_key" => "key".into(),
        other => other.replace('_', " "),
    }
}

/// An id short enough for a line. Ids that begin with their time differ at their end, so the middle goes
/// (`run_…PDSN03`); a pseudonym keeps its start.
pub fn short(id: &str) -> String {
    const LONGEST: usize = 24;
    const ENDING: usize = 6;
    let n = id.chars().count();
    match id.split_once('_') {
        _ if n <= LONGEST => id.to_string(),
        Some((kind, _)) => format!("{kind}_…{}", id.chars().skip(n - ENDING).collect::<String>()),
        None => id.chars().take(12).chain(['…']).collect(),
    }
}

/// A record's id, linked to its page where there is one. Subjects appear by the start of their pseudonym.
pub fn to(entity: &EntityRef) -> Markup {
    let title = (short(&entity.id) != entity.id).then_some(&entity.id);
    html! {
        @match path(entity) {
            Some(path) => { a href=(path) title=[title] { (short(&entity.id)) } },
            None => { code title=[title] { (short(&entity.id)) } },
        }
    }
}

/// A linked dataset version.
pub fn dataset(dataset: &DatasetRef) -> Markup {
    to(&EntityRef::from(dataset))
}

/// The rows of a dataset version, narrowed by the pairs whose value is not empty.
pub fn rows(dataset: &DatasetRef, pairs: &[(&str, &str)]) -> String {
    format!("/datasets/{}/rows{}", segment(&dataset.to_string()), query(pairs))
}

/// What changed in a dataset version since another.
pub fn diff(after: &DatasetRef, before: &DatasetRef) -> String {
    format!("/datasets/{}/diff{}", segment(&after.to_string()), query(&[("with", &before.to_string())]))
}

/// A linked model version; a provider's model has no page here.
pub fn model(model: &ModelRef) -> Markup {
    match model.provider_model() {
        Some(name) => html! { code { (name) } },
        None => to(&EntityRef::from(model)),
    }
}

/// A linked run.
pub fn run(id: &loopwright_types::id::RunId) -> Markup {
    to(&EntityRef::new("run", id.as_str()))
}

/// A linked route.
pub fn route(name: &str) -> Markup {
    to(&EntityRef::new("route", name))
}

/// A linked trace.
pub fn trace(id: &TraceId) -> Markup {
    to(&EntityRef::new("trace", id.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_encoded() {
        assert_eq!(path(&EntityRef::new("dataset_version", "a b/c@1")).unwrap(), "/datasets/a%20b%2Fc@1");
        assert_eq!(path(&EntityRef::new("step", "x")), None);
        assert_eq!(query(&[("a", "1 2"), ("b", ""), ("c", "&")]), "?a=1%202&c=%26");
        assert_eq!(query(&[("a", "")]), "");
        let dataset = DatasetRef::new("a b", 2);
        assert_eq!(rows(&dataset, &[("which", "dropped"), ("step", "")]), "/datasets/a%20b@2/rows?which=dropped");
        assert_eq!(diff(&dataset, &DatasetRef::new("a b", 1)), "/datasets/a%20b@2/diff?with=a%20b@1");
    }

    #[test]
    fn long_ids_are_cut_where_they_say_least() {
        for (id, text) in [
            ("0123456789abcdef0123456789abcdef", "0123456789ab…"),
            ("run_01M84M7MYYR1DF82BDZYPDSN03", "run_…PDSN03"),
            ("drift_check_x", "drift_check_x"),
            ("support@2", "support@2"),
        ] {
            assert_eq!(short(id), text);
        }
    }
}
