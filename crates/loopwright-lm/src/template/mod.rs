//! Chat templates of published models: Jinja programs that write a conversation out as the text their model was trained
//! on, special tokens among it.
//!
//! They run as the transformers library runs them: blocks swallow the line break behind them and the blanks before them,
//! texts have Python's methods, `raise_exception` refuses a conversation. A template sees the messages it is given and
//! nothing else, and runs for a bounded number of steps.
//!
//! A special token that stands in a message is broken by a mark before the template sees it, so it stays the plain text
//! that it is: nobody can end their own turn or begin another. [`tokens`] takes the marks out again.

mod python;
mod tokens;

use crate::{
    error::{Error, Kind, Result},
    tokenizer::Tokenizer,
};
use loopwright_types::{
    Timestamp,
    openai::{ChatMessage, Content},
};
use minijinja::{Environment, ErrorKind, Value as JinjaValue, context, value::Serde};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// File name of a chat template.
pub const TEMPLATE_FILE: &str = "chat_template.jinja";

/// File name of what goes with a tokenizer: its special tokens by name, and in older folders the chat template.
pub const TOKENIZER_CONFIG_FILE: &str = "tokenizer_config.json";

/// Steps that a template may take; a long conversation takes a few thousand.
const STEPS_MAX: u64 = 1_000_000;

/// Texts that a template may ask for by name, as the library names them.
const SPECIAL: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// What stands in rendered text where the assistant's part begins and ends, and inside a special token that somebody
/// wrote. Unicode keeps these characters out of texts for good; in messages they become U+FFFD.
const BEGINS: char = '\u{fdd0}';
const ENDS: char = '\u{fdd1}';
const BREAKS: char = '\u{fdd2}';

/// The name under which the one template stands in its environment.
const NAME: &str = "chat";

/// A chat template, ready to render. Clones share it.
#[derive(Clone)]
pub struct ChatTemplate {
    source: String,
    special: BTreeMap<String, String>,
    /// Whether it says itself which part is the assistant's.
    marks: bool,
    environment: Arc<Environment<'static>>,
}

impl std::fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatTemplate").field("source", &self.source).finish_non_exhaustive()
    }
}

impl ChatTemplate {
    /// Compiles a template. `special` names the texts of special tokens that it may ask for, such as `bos_token`.
    ///
    /// ```
    /// use loopwright_lm::ChatTemplate;
    /// use loopwright_types::openai::{ChatMessage, Content};
    /// let source = "{% for m in messages %}[{{ m.role }}] {{ m.content.strip() }}{{ eos_token }}\n{% endfor %}";
    /// let template = ChatTemplate::new(source, [("eos_token".into(), "</s>".into())].into())?;
    /// let message = ChatMessage { role: "user".into(), content: Some(Content::Text(" hello ".into())) };
    /// assert_eq!(template.render(&[message])?, "[user] hello</s>\n");
    /// # Ok::<(), loopwright_lm::Error>(())
    /// ```
    pub fn new(source: &str, special: BTreeMap<String, String>) -> Result<Self> {
        let (program, marks) = with_marks(source);
        let mut environment = python::environment();
        environment.set_fuel(Some(STEPS_MAX));
        environment
            .add_template_owned(NAME, program)
            .map_err(|source| Error::caused(Kind::BadFile, "failed to read the chat template", source))?;
        Ok(Self { source: source.to_owned(), special, marks, environment: Arc::new(environment) })
    }

    /// Gives the template the date, in UTC, as the function `strftime_now` of the transformers library. A template that asks
    /// for the date without one is refused as it renders.
    ///
    /// ```
    /// use loopwright_lm::ChatTemplate;
    /// use loopwright_types::Timestamp;
    /// let template = ChatTemplate::new("Today Date: {{ strftime_now('%d %b %Y') }}", Default::default())?;
    /// let template = template.with_date(|| Timestamp::of_day("2024-07-26").unwrap_or_default());
    /// assert_eq!(template.render(&[])?, "Today Date: 26 Jul 2024");
    /// # Ok::<(), loopwright_lm::Error>(())
    /// ```
    pub fn with_date(mut self, now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        let mut environment = (*self.environment).clone();
        environment.add_function("strftime_now", move |pattern: &str| {
            now().strftime(pattern).map_err(|problem| minijinja::Error::new(ErrorKind::InvalidOperation, problem))
        });
        self.environment = Arc::new(environment);
        self
    }

    /// The template of a folder: `chat_template.jinja`, or `chat_template` in `tokenizer_config.json`. None without one.
    pub fn load(dir: &Path) -> Result<Option<Self>> {
        let config = tokenizer_config(dir)?;
        let path = dir.join(TEMPLATE_FILE);
        let source = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => written_template(dir, &config)?,
            source => Some(source.map_err(|source| Error::io("read", &path, source))?),
        };
        let special = SPECIAL.iter().filter_map(|key| Some(((*key).to_owned(), special_text(&config, key)?)));
        source.map(|source| Self::new(&source, special.collect())).transpose().map_err(|source| {
            Error::caused(Kind::BadFile, format!("failed to read the chat template in `{}`", dir.display()), source)
        })
    }

    /// Writes `chat_template.jinja` and `tokenizer_config.json` into a model's folder.
    pub fn save(&self, dir: &Path) -> Result<()> {
        crate::weights::write_file(&dir.join(TEMPLATE_FILE), self.source.as_bytes())?;
        let mut json = serde_json::to_vec_pretty(&self.special)
            .map_err(|source| Error::caused(Kind::Bug, "failed to write special tokens as JSON", source))?;
        json.push(b'\n');
        crate::weights::write_file(&dir.join(TOKENIZER_CONFIG_FILE), &json)
    }

    /// The text of a special token by the library's name for it, such as `eos_token`.
    pub fn special_token(&self, name: &str) -> Option<&str> {
        self.special.get(name).map(String::as_str)
    }

    /// A whole conversation as text.
    pub fn render(&self, messages: &[ChatMessage]) -> Result<String> {
        Ok(plain(&self.run(messages, &[], false)?))
    }

    /// A conversation as text, and the beginning of the assistant's next turn.
    pub fn render_prompt(&self, messages: &[ChatMessage]) -> Result<String> {
        Ok(plain(&self.run(messages, &[], true)?))
    }

    /// The program as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// True if it asks for the tools that a model may call.
    pub fn knows_tools(&self) -> bool {
        self.source.contains("tools")
    }

    /// The tokens of a conversation whose messages have more than a role and a text, such as calls of tools, ready for the
    /// assistant's next turn. Messages and tools have the form in which the transformers library hands them to templates.
    pub fn talk_tokens(&self, tokenizer: &Tokenizer, messages: &[Value], tools: &[Value]) -> Result<Vec<u32>> {
        let broken = |value: &Value| broken_value(value, tokenizer.special_tokens());
        let values = |given: &[Value]| JinjaValue::from(Serde(given.iter().map(broken).collect::<Vec<_>>()));
        let messages = values(messages);
        let tools = if tools.is_empty() { JinjaValue::from(()) } else { values(tools) };
        let text = self.render_with(context! { messages, tools, add_generation_prompt => true })?;
        Ok(tokens::encode_prompt(tokenizer, &text))
    }

    /// Rendered text with its marks. `broken` are the special tokens that messages may not bring along.
    fn run(&self, messages: &[ChatMessage], broken: &[String], prompt: bool) -> Result<String> {
        let messages: Vec<JinjaValue> = messages
            .iter()
            .map(|message| {
                let content = broken_up(&message.text(), broken);
                context! { role => message.role.as_str(), content => content }
            })
            .collect();
        self.render_with(context! { messages, add_generation_prompt => prompt })
    }

    fn render_with(&self, values: JinjaValue) -> Result<String> {
        let special = JinjaValue::from_pairs(self.special.iter().map(|(name, text)| (name.clone(), text.clone())));
        let values = context! { ..values, ..special };
        let template = self
            .environment
            .get_template(NAME)
            .map_err(|source| Error::caused(Kind::Bug, "failed to find the chat template", source))?;
        template
            .render(values)
            .map_err(|source| Error::caused(Kind::BadInput, "the chat template refused the conversation", source))
    }
}

/// The JSON beside a tokenizer; empty without a file.
pub(crate) fn tokenizer_config(dir: &Path) -> Result<Value> {
    let path = dir.join(TOKENIZER_CONFIG_FILE);
    match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Value::Null),
        bytes => {
            let bytes = bytes.map_err(|source| Error::io("read", &path, source))?;
            serde_json::from_slice(&bytes)
                .map_err(|source| Error::caused(Kind::BadFile, format!("`{}` is not JSON", path.display()), source))
        }
    }
}

/// A special token's text, written plainly or as an object.
pub(crate) fn special_text(config: &Value, key: &str) -> Option<String> {
    let value = config.get(key)?;
    value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_owned)
}

/// The template in `tokenizer_config.json`: a text, or a list of which one is called `default`.
fn written_template(dir: &Path, config: &Value) -> Result<Option<String>> {
    let default = |list: &Vec<Value>| {
        let named = list.iter().find(|entry| entry.get("name").is_some_and(|name| name == "default"))?;
        named.get("template")?.as_str().map(str::to_owned)
    };
    match config.get("chat_template") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(source)) => Ok(Some(source.clone())),
        Some(Value::Array(list)) if default(list).is_some() => Ok(default(list)),
        Some(_) => {
            let message = "expected `chat_template` to be a text, or a list with one named `default`";
            Err(Error::bad_file(&dir.join(TOKENIZER_CONFIG_FILE), message))
        }
    }
}

/// The library's own tags around the assistant's part become marks in the text. Each is replaced by a block that does
/// nothing but print one, so that blanks around it are swallowed as around the tag.
fn with_marks(source: &str) -> (String, bool) {
    let (mut program, mut rest, mut found) = (String::with_capacity(source.len()), source, false);
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else { break };
        let tag = &rest[start..start + length + 2];
        let inside = &tag[2..tag.len() - 2];
        let word = inside.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+');
        let mark = match word {
            "generation" => Some(BEGINS),
            "endgeneration" => Some(ENDS),
            _ => None,
        };
        program.push_str(&rest[..start]);
        match mark {
            None => program.push_str(tag),
            Some(mark) => {
                let sign = |c: Option<char>| c.filter(|c| *c == '-' || *c == '+').map(String::from).unwrap_or_default();
                let (before, after) = (sign(inside.chars().next()), sign(inside.chars().next_back()));
                program.push_str(&format!("{{%{before} if true %}}{{{{ '{mark}' }}}}{{% endif {after}%}}"));
                found = true;
            }
        }
        rest = &rest[start + length + 2..];
    }
    program.push_str(rest);
    (program, found)
}

/// A message's text with a mark in each special token that stands in it.
fn broken_up(text: &str, special: &[String]) -> String {
    let mut text = text.replace([BEGINS, ENDS, BREAKS], "\u{fffd}");
    for token in special {
        let mut characters = token.chars();
        if let Some(first) = characters.next().filter(|_| text.contains(token.as_str())) {
            text = text.replace(token.as_str(), &format!("{first}{BREAKS}{}", characters.as_str()));
        }
    }
    text
}

/// The same in every text of a value.
fn broken_value(value: &Value, special: &[String]) -> Value {
    match value {
        Value::String(text) => Value::String(broken_up(text, special)),
        Value::Array(items) => items.iter().map(|item| broken_value(item, special)).collect(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| (broken_up(key, special), broken_value(value, special)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

/// Text without marks.
fn plain(text: &str) -> String {
    text.replace([BEGINS, ENDS, BREAKS], "")
}

/// How a model wants conversations written: by a template of its own, or as [`crate::chat`] writes them.
#[derive(Clone, Debug)]
pub enum ChatFormat {
    /// The format of models made here.
    Own,
    /// A published template.
    Template(ChatTemplate),
    /// No frame: the text of the last message, with the tokens around it that the model expects. For models that read texts
    /// and do not answer: classifiers and encoders.
    Bare,
}

impl ChatFormat {
    /// The format of a folder with a tokenizer. Refuses one that has neither a template nor our own special tokens.
    pub fn load(dir: &Path, tokenizer: &Tokenizer) -> Result<Self> {
        match ChatTemplate::load(dir)? {
            Some(template) => Ok(Self::Template(template)),
            None => Self::own(tokenizer),
        }
    }

    /// Our own format, for a tokenizer that has its special tokens.
    pub fn own(tokenizer: &Tokenizer) -> Result<Self> {
        let is_ours = |(id, token): (u32, &&str)| tokenizer.token_id(token) == Some(id);
        match (0u32..).zip(&crate::chat::SPECIAL_TOKENS).all(is_ours) {
            true => Ok(Self::Own),
            false => Err(Error::new(
                Kind::BadFile,
                "the model has no chat template, so it cannot take conversations\nhint: put `chat_template.jinja` of the model, or of one that it was made from, into its folder",
            )),
        }
    }

    /// Gives a template the date, should it ask; see [`ChatTemplate::with_date`].
    #[must_use]
    pub fn with_date(self, now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        match self {
            Self::Template(template) => Self::Template(template.with_date(now)),
            other => other,
        }
    }

    /// The published template, if it is one.
    pub fn template(&self) -> Option<&ChatTemplate> {
        match self {
            Self::Template(template) => Some(template),
            Self::Own | Self::Bare => None,
        }
    }

    /// True if conversations may hold calls of tools, see [`ChatFormat::talk_tokens`].
    pub fn knows_tools(&self) -> bool {
        self.template().is_some_and(ChatTemplate::knows_tools)
    }

    /// The tokens of a conversation with calls of tools; see [`ChatTemplate::talk_tokens`]. Refused without a template.
    pub fn talk_tokens(&self, tokenizer: &Tokenizer, messages: &[Value], tools: &[Value]) -> Result<Vec<u32>> {
        match self.template() {
            Some(template) => template.talk_tokens(tokenizer, messages, tools),
            None => Err(Error::new(Kind::BadInput, "a model without a chat template knows no tools")),
        }
    }

    /// The tokens of a conversation, ready for the assistant's next turn.
    pub fn prompt_tokens(&self, tokenizer: &Tokenizer, messages: &[ChatMessage]) -> Result<Vec<u32>> {
        match self {
            Self::Own => crate::chat::conversation_tokens(tokenizer, messages),
            Self::Template(template) => template.prompt_tokens(tokenizer, messages),
            Self::Bare => {
                let text = messages.last().map(ChatMessage::text).unwrap_or_default();
                match tokenizer.encode_whole(&text) {
                    tokens if tokens.is_empty() => Err(Error::new(Kind::BadInput, "a text without tokens")),
                    tokens => Ok(tokens),
                }
            }
        }
    }

    /// The prompt of a single message that must fit: at most `limit` tokens, as far as the frame around the message allows,
    /// and the number of tokens cut from the message's end.
    pub fn prompt_tokens_within(&self, tokenizer: &Tokenizer, text: &str, limit: usize) -> Result<(Vec<u32>, usize)> {
        match self {
            Self::Own => Ok(crate::chat::prompt_tokens_within(tokenizer, text, limit)),
            Self::Template(_) | Self::Bare => {
                let render = |text: &str| self.prompt_tokens(tokenizer, &[said("user", text)]);
                shortened(tokenizer, text, limit, render, Vec::len)
            }
        }
    }

    /// A message with its answer, of at most `limit` tokens; for each token whether it is the assistant's; and the number of
    /// tokens cut from the message's end. Refuses an answer that does not fit at all.
    pub fn answer_tokens(
        &self,
        tokenizer: &Tokenizer,
        (text, answer): (&str, &str),
        limit: usize,
    ) -> Result<(Vec<u32>, Vec<bool>, usize)> {
        let render = |text: &str| self.example_tokens(tokenizer, &[said("user", text), said("assistant", answer)]);
        let ((tokens, mask), n_cut) = shortened(tokenizer, text, limit, render, |(tokens, _)| tokens.len())?;
        if tokens.len() > limit {
            let message =
                format!("an answer and its frame take {} tokens, more than the {limit} there are", tokens.len());
            return Err(Error::new(Kind::BadInput, message));
        }
        Ok((tokens, mask, n_cut))
    }

    /// The tokens of a whole conversation, and for each whether it is the assistant's.
    pub fn example_tokens(&self, tokenizer: &Tokenizer, messages: &[ChatMessage]) -> Result<(Vec<u32>, Vec<bool>)> {
        match self {
            Self::Own => crate::chat::conversation_example(tokenizer, messages),
            Self::Template(template) => template.example_tokens(tokenizer, messages),
            Self::Bare => Err(Error::new(Kind::BadInput, "a model without a language head learns no answers")),
        }
    }
}

/// A message of a conversation.
fn said(role: &str, text: &str) -> ChatMessage {
    ChatMessage { role: role.into(), content: Some(Content::Text(text.into())) }
}

/// How often a text is shortened: cutting it changes its tokens, so a cut may have to be mended.
const CUTS_MAX: usize = 8;

/// What comes of a text whose end is cut until that has at most `limit` tokens, and how many tokens were cut.
fn shortened<T>(
    tokenizer: &Tokenizer,
    text: &str,
    limit: usize,
    render: impl Fn(&str) -> Result<T>,
    n_tokens: impl Fn(&T) -> usize,
) -> Result<(T, usize)> {
    let mut rendered = render(text)?;
    let tokens = tokenizer.encode(text);
    let mut n_cut = 0;
    for _ in 0..CUTS_MAX {
        let n_over = n_tokens(&rendered).saturating_sub(limit);
        if n_over == 0 || n_cut == tokens.len() {
            break;
        }
        n_cut = (n_cut + n_over).min(tokens.len());
        rendered = render(&tokenizer.decode(&tokens[..tokens.len() - n_cut]))?;
    }
    Ok((rendered, n_cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn message(role: &str, text: &str) -> ChatMessage {
        ChatMessage { role: role.into(), content: Some(Content::Text(text.into())) }
    }

    #[test]
    fn tags_become_marks_and_keep_their_signs() {
        let (program, found) = with_marks("a {%- generation -%} b {% endgeneration %} {% if x %}c{% endif %}");
        assert!(found);
        let want = "a {%- if true %}{{ '\u{fdd0}' }}{% endif -%} b {% if true %}{{ '\u{fdd1}' }}{% endif %} \
                    {% if x %}c{% endif %}";
        assert_eq!(program, want);
        assert!(!with_marks("{{ generation }}").1);
    }

    #[test]
    fn special_tokens_in_messages_are_broken() {
        let text = broken_up("a<|end|>b\u{fdd0}", &["<|end|>".into()]);
        assert_eq!(text, "a<\u{fdd2}|end|>b\u{fffd}");
        assert_eq!(plain(&text), "a<|end|>b\u{fffd}");
    }

    #[test]
    fn a_template_refuses_and_is_bounded() {
        let render = |source: &str| {
            let template = ChatTemplate::new(source, BTreeMap::new()).unwrap();
            template.render(&[message("user", "x")]).unwrap_err()
        };
        let chain = |error: Error| format!("{error}: {}", std::error::Error::source(&error).unwrap());
        assert!(chain(render("{{ raise_exception('only two roles') }}")).contains("only two roles"));
        let endless = "{% for a in range(10000) %}{% for b in range(10000) %}{{ b }}{% endfor %}{% endfor %}";
        assert!(chain(render(endless)).contains("fuel"));
        assert!(chain(render("{{ strftime_now('%d') }}")).contains("strftime_now"));
        assert_eq!(ChatTemplate::new("{% if %}", BTreeMap::new()).unwrap_err().kind(), Kind::BadFile);
        let dated = ChatTemplate::new("{{ strftime_now('%d') }}", BTreeMap::new()).unwrap();
        let dated = dated.with_date(|| Timestamp(0));
        assert_eq!(dated.render(&[]).unwrap(), "01");
    }
}
