//! Several answers as one.

use futures::{StreamExt, stream};
use loopwright_serve::event::{Event, Events, Used};

/// The events of several answers of `n` choices each: the choices of the first come first. Usage is told once, of all.
pub fn merged(answers: Vec<Events>, n: u32) -> Events {
    let numbered = (0u32..).zip(answers).map(|(i, events)| {
        let first = i.saturating_mul(n);
        events.map(move |event| event.map(|event| moved(event, first))).boxed()
    });
    let all = stream::select_all(numbered);
    Box::pin(stream::unfold((all, Some(Used::default())), async |(mut all, mut total)| {
        loop {
            match (all.next().await, &mut total) {
                (Some(Ok(Event::Usage(used))), Some(total)) => add(total, used),
                (Some(event), _) => return Some((event, (all, total))),
                (None, total) => return total.take().map(|total| (Ok(Event::Usage(total)), (all, None))),
            }
        }
    }))
}

fn add(total: &mut Used, used: Used) {
    total.prompt_tokens = total.prompt_tokens.saturating_add(used.prompt_tokens);
    total.cached_tokens = total.cached_tokens.saturating_add(used.cached_tokens);
    total.completion_tokens = total.completion_tokens.saturating_add(used.completion_tokens);
    total.reasoning_tokens = total.reasoning_tokens.saturating_add(used.reasoning_tokens);
}

fn moved(mut event: Event, first: u32) -> Event {
    match &mut event {
        Event::Text { choice, .. }
        | Event::Reasoning { choice, .. }
        | Event::ToolCall { choice, .. }
        | Event::Finish { choice, .. } => *choice = choice.saturating_add(first),
        Event::Usage(_) => {}
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_serve::{Gathered, event::FinishReason};

    #[tokio::test]
    async fn choices_are_numbered_and_usage_is_added_up() {
        let answer = |text: &str, tokens| {
            let used = Used { prompt_tokens: 1, completion_tokens: tokens, ..Used::default() };
            let events = [
                Event::Text { choice: 0, text: format!("{text}0"), logprobs: vec![] },
                Event::Text { choice: 1, text: format!("{text}1"), logprobs: vec![] },
                Event::Finish { choice: 1, reason: FinishReason::Stop },
                Event::Finish { choice: 0, reason: FinishReason::Length },
                Event::Usage(used),
            ];
            stream::iter(events.map(Ok)).boxed() as Events
        };
        let events: Vec<_> = merged(vec![answer("a", 2), answer("b", 3)], 2).collect().await;
        let mut whole = Gathered::default();
        events.iter().for_each(|event| whole.add(event.as_ref().unwrap()));
        let texts: Vec<&str> = whole.choices.iter().map(|choice| choice.text.as_str()).collect();
        assert_eq!(texts, ["a0", "a1", "b0", "b1"]);
        assert_eq!((whole.used.prompt_tokens, whole.used.completion_tokens), (2, 5));
        let usages = events.iter().filter(|event| matches!(event, Ok(Event::Usage(_)))).count();
        assert!(usages == 1 && matches!(events.last(), Some(Ok(Event::Usage(_)))));
    }
}
