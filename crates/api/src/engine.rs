//! The dialect engines speak: OpenAI's chat, completions and embeddings.
