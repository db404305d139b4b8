//! One request to a provider and its answer, whichever language the provider speaks.

use super::{
    anthropic::{self, Anthropic},
    bedrock::{self, Bedrock},
    frames::{Frame, FrameReader},
    gemini::{self, Gemini},
    openai::{self, OpenAi},
    settings::{ProviderKind, ProviderSettings},
    sse::{SseEvent, SseReader},
    tally::{Complaint, Tally},
};
use crate::{Trouble, ask::Ask};

/// Whom a request goes to.
#[derive(Clone, Debug)]
pub(super) struct Target<'a> {
    /// The provider.
    pub(super) settings: &'a ProviderSettings,
    /// The model's name there.
    pub(super) model: &'a str,
    /// The key, where one is sent as it is.
    pub(super) key: Option<String>,
}

/// A request as it is sent, but for what every request has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) url: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

/// Reads a provider's answer: a whole body, or the events of a stream.
pub(super) trait Reader: Send {
    /// Takes a whole answer, or the next event with its kind.
    fn read(&mut self, kind: &str, data: &[u8], tally: &mut Tally) -> Result<(), Complaint>;

    /// True once the provider said that nothing follows.
    fn is_done(&self) -> bool;
}

/// The request that asks this.
pub(super) fn call(target: &Target<'_>, ask: &Ask) -> Result<Call, Complaint> {
    match target.settings.kind {
        ProviderKind::OpenAi | ProviderKind::Azure => openai::call(target, ask),
        ProviderKind::Anthropic => anthropic::call(target, ask),
        ProviderKind::Gemini => gemini::call(target, ask),
        ProviderKind::Bedrock => bedrock::call(target, ask),
    }
}

/// Who reads the answer.
pub(super) fn reader(kind: ProviderKind, ask: &Ask) -> Box<dyn Reader> {
    match kind {
        ProviderKind::OpenAi | ProviderKind::Azure => Box::new(OpenAi::default()),
        ProviderKind::Anthropic => Box::new(Anthropic::new(ask)),
        ProviderKind::Gemini => Box::new(Gemini::default()),
        ProviderKind::Bedrock => Box::new(Bedrock::new(ask)),
    }
}

/// How a stream is cut into events.
pub(super) enum Framing {
    /// Server-sent events.
    Sse(SseReader),
    /// Amazon's.
    Frames(FrameReader),
}

impl Framing {
    pub(super) fn of(kind: ProviderKind) -> Self {
        match kind {
            ProviderKind::Bedrock => Self::Frames(FrameReader::default()),
            _ => Self::Sse(SseReader::default()),
        }
    }

    /// The content type that says so.
    pub(super) fn media(&self) -> &'static str {
        match self {
            Self::Sse(_) => "text/event-stream",
            Self::Frames(_) => "application/vnd.amazon.eventstream",
        }
    }

    /// Takes the next bytes and has the events that they complete read.
    pub(super) fn take(&mut self, bytes: &[u8], reader: &mut dyn Reader, tally: &mut Tally) -> Result<(), Complaint> {
        match self {
            Self::Sse(sse) => {
                let mut events: Vec<SseEvent> = Vec::new();
                sse.take(bytes, &mut events).map_err(Complaint::garbled)?;
                events.iter().try_for_each(|event| reader.read(&event.kind, event.data.as_bytes(), tally))
            }
            Self::Frames(frames) => {
                let mut events: Vec<Frame> = Vec::new();
                frames.take(bytes, &mut events).map_err(Complaint::garbled)?;
                events.iter().try_for_each(|frame| match frame.message_type.as_str() {
                    "error" => Err(Complaint::new(Trouble::Failed, frame.kind.clone())),
                    _ => reader.read(&frame.kind, &frame.payload, tally),
                })
            }
        }
    }
}
