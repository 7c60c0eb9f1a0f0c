//! Who asks, as far as the shape of an answer depends on it.

/// Whether a client is one of OpenAI's SDKs, by its `User-Agent`: `OpenAI/Python`, `AsyncOpenAI/Python`, `OpenAI/JS` and
/// the like. What they read the same routes into differs from what Together's do.
pub fn is_openai(user_agent: Option<&str>) -> bool {
    user_agent.is_some_and(|it| it.contains("OpenAI/"))
}
