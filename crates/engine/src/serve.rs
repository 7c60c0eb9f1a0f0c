//! Starts the threads, loads the model, listens, and ends in order.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::cli::ServeArgs;
use crate::constrain::Compiler;
use crate::exit::Exit;
use crate::http::{self, AppState, Ready};
use crate::logging::Complaints;
use crate::metrics::Metrics;
use crate::model::{self, LoadError, Loaded, TokenBytes};
use crate::reading::Habits;
use crate::special::Specials;
use crate::template::source::Origin;
use crate::template::{self, ChatTemplate, TemplateError};
use crate::worker::embed::Embedder;
use crate::worker::{self, Message, Worker};

// What a step of the model's thread may take at the very end, before the process ends without it.
const THREAD_GRACE: Duration = Duration::from_secs(3);
const DRAIN_POLL: Duration = Duration::from_millis(20);

/// Serves until stopped; returns the exit code.
pub fn serve(args: &ServeArgs, complaints: &Complaints) -> Exit {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("the async runtime could not be started: {error}");
            return Exit::Internal;
        }
    };
    let metrics = Arc::new(Metrics::default());
    let (worker, jobs) = Worker::new(args.queue, Arc::clone(&metrics));
    let state = Arc::new(AppState {
        model_name: args.served_name(),
        nonce: args.nonce.clone(),
        metrics,
        worker: worker.clone(),
        ready: OnceLock::new(),
        progress: AtomicU32::new(0),
        draining: AtomicBool::new(false),
        in_flight: AtomicU64::new(0),
    });
    let listener = match runtime.block_on(listen(args)) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!("cannot listen on {}: {error}", listen_address(args));
            return Exit::Listen;
        }
    };
    let (ended, worker_ended) = oneshot::channel();
    let thread = match start_thread(args.clone(), complaints.clone(), Arc::clone(&state), jobs, ended) {
        Ok(thread) => thread,
        Err(error) => {
            tracing::error!("the model's thread could not be started: {error}");
            return Exit::Internal;
        }
    };
    let exit = runtime.block_on(answer(args, listener, &state, worker_ended));
    worker.stop();
    if let Some(socket) = &args.socket {
        let _may_be_gone = std::fs::remove_file(socket);
    }
    runtime.shutdown_timeout(Duration::from_millis(200));
    join(thread);
    exit
}

enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

async fn listen(args: &ServeArgs) -> io::Result<Listener> {
    if let Some(path) = &args.socket {
        // A socket left by a process that was killed; a live one's owner is about to be replaced on purpose.
        let old = std::fs::symlink_metadata(path)
            .is_ok_and(|it| std::os::unix::fs::FileTypeExt::is_socket(&it.file_type()));
        if old {
            std::fs::remove_file(path)?;
        }
        return UnixListener::bind(path).map(Listener::Unix);
    }
    match args.listen {
        Some(address) => TcpListener::bind(address).await.map(Listener::Tcp),
        None => Err(io::Error::other("neither --socket nor --listen was given")),
    }
}

fn listen_address(args: &ServeArgs) -> String {
    let socket = args.socket.as_ref().map(|it| it.display().to_string());
    socket.or_else(|| args.listen.map(|it| it.to_string())).unwrap_or_default()
}

/// Answers requests until the model's thread ends or a signal came and all answers have ended.
async fn answer(
    args: &ServeArgs,
    listener: Listener,
    state: &Arc<AppState>,
    worker_ended: oneshot::Receiver<Exit>,
) -> Exit {
    let router = http::router(Arc::clone(state));
    let server = async move {
        match listener {
            Listener::Unix(listener) => axum::serve(listener, router).await,
            Listener::Tcp(listener) => {
                if let Ok(address) = listener.local_addr() {
                    tracing::info!("listening on {address}");
                }
                axum::serve(
                    axum::serve::ListenerExt::tap_io(listener, |it| {
                        // A token is a small packet that should not wait for the next one.
                        let _best_effort = it.set_nodelay(true);
                    }),
                    router,
                )
                .await
            }
        }
    };
    tokio::select! {
        served = server => {
            tracing::error!("the listener ended: {served:?}");
            Exit::Internal
        }
        exit = worker_ended => exit.unwrap_or(Exit::Internal),
        () = drained(args, state) => Exit::Stopped,
    }
}

/// Ends when a signal came and no answer is running, or when the drain time is over.
async fn drained(args: &ServeArgs, state: &AppState) {
    if let Err(error) = stop_signal().await {
        tracing::error!("signals cannot be heard: {error}");
        std::future::pending::<()>().await;
    }
    let running = || state.in_flight.load(Ordering::SeqCst);
    tracing::info!("stopping: {} requests get up to {} s to finish", running(), args.drain_secs);
    state.draining.store(true, Ordering::SeqCst);
    let all_done = async {
        while running() > 0 {
            tokio::time::sleep(DRAIN_POLL).await;
        }
    };
    if tokio::time::timeout(args.drain(), all_done).await.is_err() {
        tracing::warn!("stopping with {} requests unfinished", running());
        state.worker.stop();
        // The unfinished hear so before the connections go.
        tokio::time::sleep(DRAIN_POLL).await;
    }
    // The last bytes of the last answer.
    tokio::time::sleep(DRAIN_POLL).await;
}

async fn stop_signal() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn start_thread(
    args: ServeArgs,
    complaints: Complaints,
    state: Arc<AppState>,
    jobs: mpsc::Receiver<Message>,
    ended: oneshot::Sender<Exit>,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("model".to_owned()).spawn(move || {
        let exit = load_and_run(&args, &complaints, &state, &jobs).unwrap_or_else(|error| {
            tracing::error!("{error}");
            error.exit()
        });
        let _server_may_be_gone = ended.send(exit);
    })
}

fn load_and_run(
    args: &ServeArgs,
    complaints: &Complaints,
    state: &Arc<AppState>,
    jobs: &mpsc::Receiver<Message>,
) -> Result<Exit, LoadError> {
    let started = std::time::Instant::now();
    let progress = Arc::clone(state);
    let loaded = model::load(args, complaints, move |it| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to a million")]
        progress.progress.store((it.clamp(0.0, 1.0) * 1e6) as u32, Ordering::Relaxed);
    })?;
    let token_bytes = Arc::new(TokenBytes::read(&loaded.model));
    let ready = ready(args, &loaded, &token_bytes)?;
    let mut context = if args.embedding {
        model::embedding_context(&loaded, complaints)?
    } else {
        model::decoding_context(&loaded, args, complaints)?
    };
    warm_up(&mut context, &loaded.model, args)?;
    let shape = loaded.shape;
    state.metrics.slots.set(i64::from(shape.slots));
    if state.ready.set(ready).is_err() {
        return Err(LoadError::Library("the model was loaded twice".to_owned()));
    }
    tracing::info!(
        "serving {} with {} of {} tokens and {}, loaded in {:.1} s",
        state.model_name,
        counted(shape.slots, "slot"),
        shape.context,
        counted(shape.threads, "thread"),
        started.elapsed().as_secs_f32()
    );
    let metrics = Arc::clone(&state.metrics);
    if args.embedding {
        let batch = context.n_ubatch() as usize;
        return Ok(worker::embed::run(
            Embedder { context, slots: shape.slots as usize, batch, metrics },
            jobs,
        ));
    }
    Ok(worker::run(worker::Engine { context, model: &loaded.model, token_bytes, shape, metrics }, jobs))
}

fn ready(args: &ServeArgs, loaded: &Loaded, token_bytes: &Arc<TokenBytes>) -> Result<Ready, LoadError> {
    let model = Arc::clone(&loaded.model);
    let vocab = model.vocab();
    let named = |token: LlamaToken| {
        let bytes = if token.0 < 0 { Vec::new() } else { vocab.token_to_piece(token, true, None) };
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let own = || model.chat_template(None).ok().and_then(|it| it.to_string().ok());
    let template = template::source::find(&args.model, own).and_then(|source| {
        match &source.origin {
            Origin::File(path) => tracing::info!("chats are written with {}", path.display()),
            Origin::Model => {}
            Origin::Nowhere if args.embedding => {}
            Origin::Nowhere => {
                tracing::warn!("the model has no chat template; chats are written in the ChatML form")
            }
        }
        let unusable = |error: TemplateError| source.origin.refuses(&args.model, &error);
        ChatTemplate::new(&source.text, named(vocab.bos()), named(vocab.eos())).map_err(unusable)
    })?;
    let bos = (vocab.should_add_bos() && vocab.bos().0 >= 0).then(|| vocab.bos());
    Ok(Ready {
        habits: Habits::of(template.source()),
        specials: Specials::read(&model),
        forms: Compiler::new(Arc::clone(&model)),
        model,
        token_bytes: Arc::clone(token_bytes),
        shape: loaded.shape,
        template,
        bos,
        embedding: args.embedding,
    })
}

/// Decodes one token: what cannot work fails here and not in the first request.
fn warm_up(context: &mut LlamaContext<'_>, model: &LlamaModel, args: &ServeArgs) -> Result<(), LoadError> {
    let failed = |cause: String| LoadError::Model { path: args.model.clone(), cause };
    let token = model.vocab().bos();
    let token = if token.0 < 0 { LlamaToken(0) } else { token };
    let mut batch = LlamaBatch::new(1, 1);
    batch.add(token, 0, &[0], true).map_err(|it| failed(it.to_string()))?;
    context.decode(&mut batch).map_err(|it| failed(format!("the first token could not be decoded: {it}")))?;
    context.synchronize();
    context.clear_kv_cache();
    Ok(())
}

/// `1 thread`, `2 threads`.
fn counted(n: u32, noun: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {noun}{s}")
}

/// Waits for the model's thread, but not for ever: it may be in the middle of loading.
fn join(thread: JoinHandle<()>) {
    let started = std::time::Instant::now();
    while !thread.is_finished() && started.elapsed() < THREAD_GRACE {
        std::thread::sleep(Duration::from_millis(5));
    }
    if thread.is_finished() {
        let _panics_are_reported_by_the_thread = thread.join();
    }
}
