//! Row steps, made ready: lists of words are compiled and evaluation texts indexed once for a run, not once for a row.

use super::{RowContext, rewrite::Rewritten, view::View};
use crate::{
    Result,
    clean::{consent, filters, html, language, length, perplexity, redact, repair, rows_kinds, whitespace},
    decontaminate,
    draft::Verdict,
    recipe::{PerplexityFunction, Resources, StepSettings},
};
use loopwright_corpus::quality::{
    c4, fineweb, gopher_quality, gopher_repetition,
    rows::{chat, classification, instruction},
    symbols,
    urls::UrlRules,
    words_list::WordsList,
};

/// A row step with all that it needs.
pub(crate) enum RowStep<'a> {
    Consent,
    RepairText,
    StripHtml,
    Whitespace,
    Length(&'a length::Settings),
    Language(&'a language::Settings),
    Redact(redact::StandIns<'a>),
    Symbols(&'a symbols::Settings),
    Urls(Box<UrlRules>),
    WordsList(Box<WordsList>),
    GopherQuality(&'a gopher_quality::Settings),
    GopherRepetition(&'a gopher_repetition::Settings),
    C4(&'a c4::Settings),
    FineWeb(&'a fineweb::Settings),
    ChatRows(&'a chat::Settings),
    InstructionRows(&'a instruction::Settings),
    ClassificationRows(&'a classification::Settings),
    Decontaminate(Box<decontaminate::Index>),
    Perplexity(&'a perplexity::Settings, &'a PerplexityFunction<'a>),
}

impl<'a> RowStep<'a> {
    /// Makes a step ready; nothing, if it must see all rows. Fails on settings out of range and on what it lacks.
    pub(crate) fn prepare(step: &'a StepSettings, resources: &'a Resources<'a>) -> Result<Option<Self>> {
        Ok(Some(match step {
            StepSettings::Consent => Self::Consent,
            StepSettings::RepairText => Self::RepairText,
            StepSettings::StripHtml => Self::StripHtml,
            StepSettings::Whitespace => Self::Whitespace,
            StepSettings::Length(settings) => Self::Length(settings),
            StepSettings::Language(settings) => Self::Language(settings),
            StepSettings::Redact(settings) => Self::Redact(resources.stand_ins(settings)?),
            StepSettings::Symbols(settings) => Self::Symbols(settings),
            StepSettings::Urls(settings) => Self::Urls(Box::new(UrlRules::new(settings)?)),
            StepSettings::WordsList(settings) => Self::WordsList(Box::new(WordsList::new(settings)?)),
            StepSettings::GopherQuality(settings) => Self::GopherQuality(settings),
            StepSettings::GopherRepetition(settings) => Self::GopherRepetition(settings),
            StepSettings::C4(settings) => Self::C4(settings),
            StepSettings::FineWeb(settings) => Self::FineWeb(settings),
            StepSettings::ChatRows(settings) => Self::ChatRows(settings),
            StepSettings::InstructionRows(settings) => Self::InstructionRows(settings),
            StepSettings::ClassificationRows(settings) => Self::ClassificationRows(settings),
            StepSettings::Decontaminate(settings) => {
                let index = decontaminate::Index::of_sets(resources.evaluation_texts()?, settings)?;
                Self::Decontaminate(Box::new(index))
            }
            StepSettings::Perplexity(settings) => Self::Perplexity(settings, resources.perplexity()?),
            all_rows if all_rows.sees_all_rows() => return Ok(None),
            _ => unreachable!("a step looks at one row or at all"),
        }))
    }

    /// What the step makes of one row. A language step adds the language to those found.
    pub(crate) fn judge(&self, view: &View<'_>, ctx: &RowContext<'_>, languages: &mut Vec<String>) -> Result<Verdict> {
        let (row, text) = (view.row(), view.text());
        Ok(match self {
            Self::Consent => Verdict::dropped(consent::check(row, ctx.opted_out)),
            Self::RepairText => Verdict::changed(Rewritten::of(row, |part| repair::repair(part).into())),
            Self::StripHtml => Verdict::changed(Rewritten::of(row, |part| html::strip(part).into())),
            Self::Whitespace => Verdict::changed(Rewritten::of(row, |part| whitespace::normalise(part).into())),
            Self::Length(settings) => {
                Verdict::dropped(length::check(text, row.label.as_deref().unwrap_or_default(), settings))
            }
            Self::Language(settings) => {
                let language = language::detect(text, settings.confidence_min);
                let reason = language::check(&language, settings);
                languages.push(language);
                Verdict::dropped(reason)
            }
            Self::Redact(stand_ins) => {
                Verdict::changed(redact::rewrite(row, ctx.redactor, ctx.known(row.subject.as_ref()), *stand_ins))
            }
            Self::Symbols(settings) => Verdict::dropped(symbols::check(view.words(), settings)),
            Self::Urls(rules) => Verdict::dropped(filters::urls(row, rules)),
            Self::WordsList(list) => Verdict::dropped(list.check(text)),
            Self::GopherQuality(settings) => Verdict::dropped(gopher_quality::check(view.words(), settings)),
            Self::GopherRepetition(settings) => Verdict::dropped(gopher_repetition::check(view.words(), settings)),
            Self::C4(settings) => filters::c4(view, settings),
            Self::FineWeb(settings) => Verdict::dropped(fineweb::check(view.words(), settings)),
            Self::ChatRows(settings) => Verdict::dropped(rows_kinds::chat(row, settings)),
            Self::InstructionRows(settings) => Verdict::dropped(rows_kinds::instruction(row, settings)),
            Self::ClassificationRows(settings) => {
                Verdict::dropped(classification::check(text, row.label.as_deref(), settings))
            }
            Self::Decontaminate(index) => Verdict::dropped(index.reason(text)),
            Self::Perplexity(settings, perplexity) => Verdict::dropped(perplexity::check(perplexity(text)?, settings)),
        })
    }
}
