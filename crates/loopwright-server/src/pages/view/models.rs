//! `/models` and `/models/{name@version}`: model versions with their judgement, lineage and package.

use super::{
    badge::badge,
    evaluation, figures, lineage, link, moment,
    shell::{Section, back, page},
    table::{Head, cell, empty, facts, none, table},
};
use loopwright_types::{
    Entity as _, ModelRef, ModelVersion, Timestamp,
    deployment::Package,
    model::{ModelKind, ModelState},
    score::Evaluation,
};
use maud::{Markup, html};

fn kind_words(kind: ModelKind) -> &'static str {
    match kind {
        ModelKind::Base => "whole model",
        ModelKind::Adapter => "LoRA adapter",
    }
}

/// A version with its newest evaluation and where it is served.
pub struct Listed {
    /// The version.
    pub model: ModelVersion,
    /// Its newest evaluation.
    pub evaluation: Option<Evaluation>,
    /// Names of routes that send requests to it, each with the variant.
    pub served: Vec<String>,
}

/// The list, in the order given.
pub fn models(models: &[Listed], now: Timestamp) -> Markup {
    let rows = models
        .iter()
        .map(|listed| {
            let model = &listed.model;
            vec![
                link::model(&model.model),
                badge(model.state()),
                if listed.served.is_empty() {
                    none()
                } else {
                    html! { span.value { (listed.served.join(", ")) } }
                },
                cell(kind_words(model.kind)),
                model.dataset.as_ref().map_or_else(none, link::dataset),
                listed
                    .evaluation
                    .as_ref()
                    .map_or_else(none, |e| cell(super::chart_bar::interval_words(&e.scores.accuracy))),
                moment::recent(model.created_at, now),
            ]
        })
        .collect();
    let heads = [
        Head::Text("Version"),
        Head::Text("State"),
        Head::Text("Serves"),
        Head::Text("Kind"),
        Head::Text("Learned from"),
        Head::Number("Accuracy (interval)"),
        Head::Text("Made"),
    ];
    page(
        Section::Models,
        "Models",
        html! {
            p { "A version is a candidate until a gate approves it; a retired one is served no more." }
            @if models.is_empty() { (empty("No model version yet.", "Train one:", "loopwright train")) }
            @else { (table("Model versions, newest first", &heads, rows)) }
        },
    )
}

/// Everything known about one version.
pub struct ModelPage {
    /// The version, its newest evaluation left out.
    pub model: ModelVersion,
    /// Its evaluations, newest first.
    pub evaluations: Vec<Evaluation>,
    /// Its package.
    pub package: Option<Package>,
    /// Routes that send requests to it.
    pub served: Vec<String>,
    /// What it came from and what came from it.
    pub lineage: lineage::Lineage,
}

/// One version.
pub fn model(it: &ModelPage, now: Timestamp) -> Markup {
    let model = &it.model;
    page(
        Section::Models,
        &format!("Model {}", model.model),
        html! {
            (back("/models", "Models"))
            p.lead {
                (badge(model.state())) " "
                @if it.served.is_empty() { "Not served." } @else { "Serves " (it.served.join(", ")) "." }
            }
            @if let Some(reason) = &model.state_reason { p.notice { strong { "Why: " } (reason) } }
            (what_next(model, &it.evaluations))
            (facts(vec![
                ("Kind", cell(kind_words(model.kind))),
                ("Learned from", model.dataset.as_ref().map_or_else(none, link::dataset)),
                ("Run", model.run.as_ref().map_or_else(none, link::run)),
                ("Imported from", model.imported.as_ref().map_or_else(none, |it| cell(&it.from))),
                ("Family", model.imported.as_ref().map_or_else(none, |it| cell(&it.family))),
                ("Base", model.base.as_ref().map_or_else(none, link::model)),
                ("Started from", model.parent.as_ref().map_or_else(none, link::model)),
                ("Parameters", cell(figures::count(model.n_parameters))),
                ("Digest of its files", html! { code title=(model.digest) { (model.digest.short()) } }),
                ("Made", moment::when(model.created_at, now)),
            ]))
            h2 #package { "Package" }
            (package(&it.model.model, it.package.as_ref(), now))
            h2 { "Lineage" }
            (lineage::both_ways(&it.lineage))
            h2 { "Evaluations" }
            @if it.evaluations.is_empty() {
                (empty("Not judged yet.", "Judge it on held-out rows:", &format!("loopwright eval --model {}", model.model)))
            }
            @for one in &it.evaluations { (evaluation::section(one, now)) }
        },
    )
}

/// What a candidate waits for.
fn what_next(model: &ModelVersion, evaluations: &[Evaluation]) -> Markup {
    let gated = evaluations.iter().any(|evaluation| evaluation.gate.is_some());
    html! {
        @if model.state == ModelState::Candidate && !gated {
            p.notice { "No gate has judged it yet. To ask: " code { "loopwright gate --model " (model.model) } }
        }
    }
}

fn package(model: &ModelRef, package: Option<&Package>, now: Timestamp) -> Markup {
    let Some(package) = package else {
        return html! { p.quiet { "Not packaged. To build and sign an OCI image layout: " code { "loopwright package " (model) } } };
    };
    facts(vec![
        ("OCI manifest", html! { code { (package.digest) } }),
        ("Signed by key", html! { code { (package.signed_by) } }),
        ("Size", cell(figures::bytes(package.size_bytes))),
        ("Built", moment::when(package.created_at, now)),
    ])
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};

    fn shown() -> ModelPage {
        ModelPage {
            model: sample::model(),
            evaluations: vec![sample::evaluation()],
            package: Some(sample::package()),
            served: vec!["support (canary, 10%)".into()],
            lineage: sample::lineage(),
        }
    }

    #[test]
    fn a_version_shows_judgement_lineage_and_signature() {
        let html = model(&shown(), sample::NOW).into_string();
        for part in [
            "approved",
            "Serves support (canary, 10%).",
            "91.2% (89.4% to 92.7%)",
            "majority",
            "key-fingerprint",
            "sha256:",
            "What came from it",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn a_retired_version_says_why() {
        let mut it = shown();
        it.model.state = ModelState::Retired;
        it.model.state_reason = Some("trained on erased rows".into());
        assert!(model(&it, sample::NOW).into_string().contains("trained on erased rows"));
    }

    #[test]
    fn a_candidate_is_told_what_it_waits_for() {
        let mut it = shown();
        it.model.state = ModelState::Candidate;
        it.evaluations.clear();
        it.package = None;
        let html = model(&it, sample::NOW).into_string();
        for command in
            ["loopwright gate --model support@2", "loopwright eval --model support@2", "loopwright package support@2"]
        {
            assert!(html.contains(command), "{command}");
        }
    }

    #[test]
    fn versions_are_listed_or_the_command_is_named() {
        let listed = Listed { model: sample::model(), evaluation: Some(sample::evaluation()), served: vec![] };
        assert!(models(&[listed], sample::NOW).into_string().contains("/models/support@2"));
        assert!(models(&[], sample::NOW).into_string().contains("<code>loopwright train</code>"));
    }
}
