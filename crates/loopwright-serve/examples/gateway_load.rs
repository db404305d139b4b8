//! A provider that costs next to nothing, and an open-loop load on a gateway before it, for `bench/gateway.sh`. Prints JSON.
//!
//! `gateway_load upstream PORT [GAP_MS [N_CHUNKS]]` answers chat completions; a stream's chunks come GAP_MS apart.
//! `gateway_load rate URL KEY MODEL RATE SECONDS plain|stream [PID]` sends so many requests a second, whether answers come or
//! not. `gateway_load closed URL KEY MODEL N SECONDS plain|stream [PID]` has N under way at all times. `gateway_load hold URL KEY
//! MODEL N` holds N streams at once, all to their end. PID is the gateway's; its processor time is then told per request.
//! LOAD_HEADERS are further headers of each request, `name=value` with commas between.
#![allow(clippy::print_stdout, missing_docs)]

use bytes::Bytes;
use futures::stream;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
    client::conn::http1::SendRequest,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    error::Error,
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::LocalSet,
    time::sleep,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Connections of an open loop: more than are ever under way.
const CONNECTIONS: u64 = 256;

const QUESTION: &str = "My parcel was promised for Monday and has not come. Write to anna.keller@example.com or call \
                        +49 30 1234567. The order is 4711-20; what can you do about it, and when will I hear from you?";
const ANSWER: &str = "I am sorry about the delay. The parcel left our store on Friday and is with the carrier; it should be \
                      with you by tomorrow evening. If it is not, answer this message and we send another at once.";

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    match args[..] {
        ["upstream", port, ref rest @ ..] => {
            let number = |i: usize, or: u64| rest.get(i).map_or(Ok(or), |n| n.parse());
            let pace = Pace { gap: Duration::from_millis(number(0, 0)?), n_chunks: number(1, 16)? as usize };
            local.block_on(&runtime, upstream(port.parse()?, pace))
        }
        [how @ ("rate" | "closed"), url, key, model, number, seconds, form @ ("plain" | "stream"), ref pid @ ..] => {
            let asks = Rc::new(Asks::new(url, key, model, form == "stream")?);
            let (number, seconds): (u64, f64) = (number.parse()?, seconds.parse()?);
            let plan = match how {
                "rate" => Plan { rate: Some(number as f64), connections: CONNECTIONS, seconds },
                _ => Plan { rate: None, connections: number, seconds },
            };
            let pid = pid.first().copied();
            local.block_on(&runtime, load(asks, plan, pid))
        }
        ["hold", url, key, model, n] => {
            let asks = Rc::new(Asks::new(url, key, model, true)?);
            local.block_on(&runtime, hold(asks, n.parse()?))
        }
        _ => Err("usage: see the first lines of examples/gateway_load.rs".into()),
    }
}

// ---- the provider --------------------------------------------------------------------------------------------------------

#[derive(Clone, Copy)]
struct Pace {
    gap: Duration,
    n_chunks: usize,
}

async fn upstream(port: u16, pace: Pace) -> Outcome<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        tokio::task::spawn_local(async move {
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(socket), service_fn(move |request| answer(request, pace)));
            // A client that goes away is no failure.
            let _ = served.await;
        });
    }
}

async fn answer(request: Request<Incoming>, pace: Pace) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let asked: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let usage = r#"{"prompt_tokens":52,"completion_tokens":46,"total_tokens":98}"#;
    let head = r#""id":"chatcmpl-1","created":1790000000,"model":"mock""#;
    if asked["stream"] != true {
        let body = format!(
            r#"{{{head},"object":"chat.completion","choices":[{{"index":0,"message":{{"role":"assistant","content":"{ANSWER}"}},"finish_reason":"stop"}}],"usage":{usage}}}"#
        );
        return Ok(response("application/json", Full::new(body.into()).boxed()));
    }
    let chunk = move |i: usize| {
        let object = r#""object":"chat.completion.chunk""#;
        let part = |delta: &str, finish: &str| {
            format!(
                r#"data: {{{head},{object},"choices":[{{"index":0,"delta":{{{delta}}},"finish_reason":{finish}}}]}}"#
            )
        };
        let size = ANSWER.len().div_ceil(pace.n_chunks.max(1));
        match i {
            0 => part(r#""role":"assistant","content":"""#, "null"),
            i if i <= pace.n_chunks => {
                let text = ANSWER.get((i - 1) * size..(i * size).min(ANSWER.len())).unwrap_or("");
                part(&format!(r#""content":"{text}""#), "null")
            }
            _ => {
                let last = part("", r#""stop""#);
                format!("{last}\n\ndata: {{{head},{object},\"choices\":[],\"usage\":{usage}}}\n\ndata: [DONE]")
            }
        }
    };
    let frames = stream::unfold(0, move |i| async move {
        if i > pace.n_chunks + 1 {
            return None;
        }
        if i > 1 && !pace.gap.is_zero() {
            sleep(pace.gap).await;
        }
        Some((Ok(Frame::data(Bytes::from(chunk(i) + "\n\n"))), i + 1))
    });
    Ok(response("text/event-stream", BoxBody::new(StreamBody::new(frames))))
}

fn response(kind: &'static str, body: BoxBody<Bytes, Infallible>) -> Response<BoxBody<Bytes, Infallible>> {
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static(kind));
    response
}

// ---- the load ------------------------------------------------------------------------------------------------------------

/// What is asked, again and again.
struct Asks {
    address: String,
    path: String,
    key: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Asks {
    fn new(url: &str, key: &str, model: &str, is_stream: bool) -> Outcome<Self> {
        let url = url::Url::parse(url)?;
        let address = format!("{}:{}", url.host_str().ok_or("no host")?, url.port().ok_or("no port")?);
        let message = serde_json::json!({"role": "user", "content": QUESTION});
        let body = serde_json::json!({"model": model, "messages": [message], "max_tokens": 64, "stream": is_stream});
        let headers = std::env::var("LOAD_HEADERS").unwrap_or_default();
        let pairs = headers.split(',').filter_map(|pair| pair.split_once('='));
        let headers = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Self { address, path: url.path().into(), key: key.into(), headers, body: body.to_string().into() })
    }

    async fn connect(&self) -> Outcome<SendRequest<Full<Bytes>>> {
        let socket = TcpStream::connect(&self.address).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
        tokio::task::spawn_local(connection);
        Ok(sender)
    }

    /// Sends one; gives the time of the first piece of text after the start, and whether the answer was whole.
    async fn ask(&self, sender: &mut SendRequest<Full<Bytes>>, since: Instant) -> Outcome<(Duration, bool)> {
        sender.ready().await?;
        let mut request = Request::post(&self.path)
            .header("host", &self.address)
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", self.key));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(self.body.clone()))?;
        let answer = sender.send_request(request).await?;
        let is_ok = answer.status().is_success();
        let mut body = answer.into_body();
        let (mut first, mut tail) = (None, Vec::new());
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            first.get_or_insert_with(|| since.elapsed());
            tail.extend_from_slice(&data);
            let n = tail.len().saturating_sub(400);
            tail.drain(..n);
        }
        let tail = String::from_utf8_lossy(&tail);
        let is_whole = tail.contains("[DONE]") || tail.contains("total_tokens");
        Ok((first.unwrap_or_else(|| since.elapsed()), is_ok && is_whole))
    }
}

#[derive(Clone, Copy)]
struct Plan {
    /// Requests a second; none for as many as come back.
    rate: Option<f64>,
    connections: u64,
    seconds: f64,
}

struct Tally {
    whole: Histogram<u64>,
    first: Histogram<u64>,
    n_failed: u64,
}

async fn load(asks: Rc<Asks>, plan: Plan, pid: Option<&str>) -> Outcome<()> {
    let next = Rc::new(AtomicU64::new(0));
    // Microseconds up to a minute.
    let new = || Histogram::<u64>::new_with_bounds(1, 60_000_000, 3);
    let tally = Rc::new(std::cell::RefCell::new(Tally { whole: new()?, first: new()?, n_failed: 0 }));
    let cpu_before = pid.map(cpu_seconds).transpose()?;
    let start = Instant::now();
    let mut workers = Vec::new();
    for _ in 0..plan.connections {
        let (asks, next, tally) = (asks.clone(), next.clone(), tally.clone());
        workers.push(tokio::task::spawn_local(async move {
            let mut connection = None;
            loop {
                let i = next.fetch_add(1, Relaxed);
                let at = plan.rate.map_or(start, |rate| start + Duration::from_secs_f64(i as f64 / rate));
                if at.duration_since(start).as_secs_f64() > plan.seconds || start.elapsed().as_secs_f64() > plan.seconds
                {
                    break;
                }
                let now = Instant::now();
                // A request that had to wait for a connection counts from when it was due; one that was waited for from when
                // the timer, which knows milliseconds only, let it go.
                let since = if at > now || plan.rate.is_none() {
                    sleep(at.saturating_duration_since(now)).await;
                    Instant::now()
                } else {
                    at
                };
                let sender = match &mut connection {
                    Some(sender) => sender,
                    None => match asks.connect().await {
                        Ok(sender) => connection.insert(sender),
                        Err(_) => {
                            tally.borrow_mut().n_failed += 1;
                            continue;
                        }
                    },
                };
                let outcome = asks.ask(sender, since).await;
                let mut tally = tally.borrow_mut();
                if let Ok((first, true)) = outcome {
                    tally.whole.saturating_record(since.elapsed().as_micros() as u64);
                    tally.first.saturating_record(first.as_micros() as u64);
                } else {
                    tally.n_failed += 1;
                    connection = None;
                }
            }
        }));
    }
    for worker in workers {
        worker.await?;
    }
    let took = start.elapsed().as_secs_f64();
    let tally = tally.borrow();
    let n = tally.whole.len();
    let cpu = match (cpu_before, pid) {
        (Some(before), Some(pid)) => Some((cpu_seconds(pid)? - before) * 1e3 / n.max(1) as f64),
        _ => None,
    };
    let quantiles = |of: &Histogram<u64>| {
        let at = |q: f64| of.value_at_quantile(q);
        serde_json::json!({"p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999), "max": of.max()})
    };
    println!(
        "{}",
        serde_json::json!({
            "n": n, "n_failed": tally.n_failed, "per_second": n as f64 / took, "whole_us": quantiles(&tally.whole),
            "first_us": quantiles(&tally.first), "cpu_ms_per_request": cpu,
            "resident_mib": pid.map(resident_mib).transpose()?,
        })
    );
    Ok(())
}

/// Streams that are all under way before the first ends.
async fn hold(asks: Rc<Asks>, n: usize) -> Outcome<()> {
    let start = Instant::now();
    let mut all = Vec::new();
    for _ in 0..n {
        let asks = asks.clone();
        all.push(tokio::task::spawn_local(async move {
            let mut sender = asks.connect().await.map_err(|e| e.to_string())?;
            asks.ask(&mut sender, Instant::now()).await.map_err(|e| e.to_string())
        }));
    }
    let (mut n_whole, mut firsts, mut failures) =
        (0, Histogram::<u64>::new_with_bounds(1, 600_000_000, 3)?, std::collections::BTreeMap::new());
    for one in all {
        match one.await? {
            Ok((first, true)) => {
                n_whole += 1;
                firsts.saturating_record(first.as_micros() as u64);
            }
            Ok((_, false)) => *failures.entry("broken off or refused".to_owned()).or_insert(0) += 1,
            Err(failure) => *failures.entry(failure).or_insert(0) += 1,
        }
    }
    println!(
        "{}",
        serde_json::json!({
            "n": n, "n_whole": n_whole, "failures": failures, "seconds": start.elapsed().as_secs_f64(),
            "first_us": {"p50": firsts.value_at_quantile(0.5), "p99": firsts.value_at_quantile(0.99)},
        })
    );
    Ok(())
}

/// Processor time of a process and its children that were waited for.
fn cpu_seconds(pid: &str) -> Outcome<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    // Fields 14 to 17 (utime, stime, cutime, cstime) of proc(5), in hundredths of a second; the name and what is before it are gone.
    let ticks = |i: usize| fields.get(i).and_then(|n| n.parse::<f64>().ok()).ok_or("no processor times");
    Ok((11..15).map(ticks).sum::<Result<f64, _>>()? / 100.0)
}

fn resident_mib(pid: &str) -> Outcome<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<f64>()? / 1024.0)
}
