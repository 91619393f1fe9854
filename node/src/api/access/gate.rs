//! Who may do what: the tokens in force, and the two questions that are asked of them. First, from the head of a request:
//! is there a good token, and is its scope enough? Then, once the request is read: are the collections within its reach?

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use connectrpc::{ConnectError as Status, Payload};
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use tokio::sync::Notify;

use super::Clock;
use super::counts::{AccessCounts, count, set};
use super::file::{FileError, Files, Look, Named};
use super::quiet::Quiet;
use super::scope::{Collections, Method};
use super::tokens::{Reach, Token, TokenHash, TokenList, is_token};
use crate::config::flags::shown;
use crate::limits;

/// What everybody is told who has no good token, so that nobody learns whether there is such a token.
const UNAUTHENTICATED: &str =
    "this node asks for a token that is good now: send the header 'authorization: Bearer TOKEN'";

/// The tokens in force.
pub(in crate::api) struct Gate {
    list: Mutex<Arc<TokenList>>,
    /// Grows whenever somebody may have lost something: at a new list, and when a token expires.
    era: AtomicU64,
    turn: Notify,
    clock: Clock,
    counts: Arc<AccessCounts>,
    refused: Quiet,
}

/// That a request had a good token whose scope was enough. Goes with the request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pass(TokenHash);

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("{UNAUTHENTICATED}")]
    Unauthenticated(Reason),
    #[error("token {name:?} has scope {has}; {method} needs {needs}")]
    Scope { name: String, has: super::Scope, method: &'static str, needs: super::Scope },
    #[error("token {name:?} is not for collection {}; it is for {reach}", shown(collection))]
    Collection { name: String, collection: String, reach: Reach },
    #[error("token {name:?} is for {reach} only; {method} concerns all collections{remedy}")]
    Everything { name: String, reach: Reach, method: &'static str, remedy: &'static str },
}

/// What the log says, and the client is not told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Reason {
    #[error("there is no authorization header")]
    Missing,
    #[error("there are several authorization headers")]
    Several,
    #[error("the authorization header is not 'Bearer' and a token")]
    Malformed,
    #[error("the token is unknown or revoked")]
    Unknown,
    #[error("token {0:?} has expired")]
    Expired(String),
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::Unauthenticated(_) => {
                let mut headers = HeaderMap::new();
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"peat\""));
                Status::unauthenticated(message).with_headers(headers)
            }
            _ => Status::permission_denied(message),
        }
    }
}

impl Gate {
    pub(super) fn new(list: TokenList, clock: Clock, counts: Arc<AccessCounts>) -> Self {
        let gate = Self {
            list: Mutex::default(),
            era: AtomicU64::new(0),
            turn: Notify::new(),
            clock,
            counts,
            refused: Quiet::default(),
        };
        gate.replace(list);
        gate
    }

    /// From now on these are in force, for streams that are open too.
    pub(super) fn replace(&self, list: TokenList) {
        *self.lock() = Arc::new(list);
        self.turn();
    }

    /// To be called whenever time has passed: tokens expire by themselves.
    pub(super) fn tick(&self) {
        if self.in_force() != self.counts.tokens.load(Ordering::Relaxed) {
            self.turn();
        }
    }

    fn turn(&self) {
        set(&self.counts.tokens, self.in_force());
        self.era.fetch_add(1, Ordering::AcqRel);
        self.turn.notify_waiters();
    }

    fn in_force(&self) -> u64 {
        self.current().in_force((self.clock)()) as u64
    }

    fn lock(&self) -> MutexGuard<'_, Arc<TokenList>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> Arc<TokenList> {
        self.lock().clone()
    }

    /// From the head of a request.
    pub(super) fn enter(&self, headers: &HeaderMap, method: &Method) -> Result<Pass, Status> {
        let entered = presented(headers).map_err(Refusal::Unauthenticated).and_then(|hash| {
            let list = self.current();
            sufficient(self.good(&list, &hash)?, method)?;
            Ok(Pass(hash))
        });
        entered.map_err(|refusal| self.refuse(refusal))
    }

    /// Once the request is read. Only for a token that is not for everything is it looked into.
    pub(super) fn reach(&self, pass: Pass, method: &Method, request: &Payload) -> Result<(), Status> {
        let named = if self.is_limited(pass) { method.named(request)? } else { vec![] };
        self.recheck(pass, method, &named)
    }

    /// A token that is gone is taken for limited: it is refused with whatever it names.
    fn is_limited(&self, Pass(hash): Pass) -> bool {
        self.current().get(&hash).is_none_or(|token| token.reach != Reach::Everything)
    }

    /// Whether a stream that was let in may go on.
    pub(super) fn recheck(&self, Pass(hash): Pass, method: &Method, named: &[String]) -> Result<(), Status> {
        let list = self.current();
        let checked = self.good(&list, &hash).and_then(|token| {
            sufficient(token, method)?;
            within(token, method, named)
        });
        checked.map_err(|refusal| self.refuse(refusal))
    }

    fn good<'a>(&self, list: &'a TokenList, hash: &TokenHash) -> Result<&'a Token, Refusal> {
        let token = list.get(hash).ok_or(Refusal::Unauthenticated(Reason::Unknown))?;
        if token.has_expired((self.clock)()) {
            return Err(Refusal::Unauthenticated(Reason::Expired(token.name.clone())));
        }
        Ok(token)
    }

    fn refuse(&self, refusal: Refusal) -> Status {
        let (counter, told) = match &refusal {
            Refusal::Unauthenticated(reason) => (&self.counts.unauthenticated, reason.to_string()),
            other => (&self.counts.denied, other.to_string()),
        };
        count(counter);
        if let Some(unsaid) = self.refused.line() {
            tracing::warn!(unsaid, "API request refused: {told}");
        }
        refusal.into()
    }

    /// The era of this moment, and the end of it.
    pub(super) fn era(&self) -> u64 {
        self.era.load(Ordering::Acquire)
    }

    /// Resolves when the era is another one than this.
    pub(super) async fn after(&self, era: u64) {
        loop {
            let mut turned = std::pin::pin!(self.turn.notified());
            // Before the look: a turn between the two must not be missed.
            turned.as_mut().enable();
            if self.era() != era {
                return;
            }
            turned.await;
        }
    }

    /// Takes up what a look at the file gave.
    pub(super) fn look(&self, files: &mut Files, file: &Named) {
        let trouble = match files.look() {
            Look::Unchanged => return,
            Look::Changed(contents) => match parse(file, &contents) {
                Ok(list) => {
                    announce(&list, file);
                    self.replace(list);
                    set(&self.counts.tokens_unusable, 0);
                    return;
                }
                Err(trouble) => trouble,
            },
            Look::Unreadable(trouble) => trouble,
        };
        tracing::error!("{trouble}; the tokens before stay in force");
        set(&self.counts.tokens_unusable, 1);
    }
}

/// The list that a file has.
pub(super) fn parse(file: &Named, contents: &[Vec<u8>]) -> Result<TokenList, FileError> {
    TokenList::parse(contents.first().map_or(&[], Vec::as_slice)).map_err(|e| file.wrong(e))
}

pub(super) fn announce(list: &TokenList, file: &Named) {
    tracing::info!("tokens in {}: {}; nobody else may use the API", file.path.display(), list.len());
}

/// The token of a request, as its hash.
fn presented(headers: &HeaderMap) -> Result<TokenHash, Reason> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Reason::Missing)?;
    if values.next().is_some() {
        return Err(Reason::Several);
    }
    if value.len() > *limits::API_TOKEN_BYTES.end() + 16 {
        return Err(Reason::Malformed);
    }
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(Reason::Malformed)?;
    let token = token.trim_matches(' ');
    if !scheme.eq_ignore_ascii_case("bearer") || !is_token(token) {
        return Err(Reason::Malformed);
    }
    Ok(TokenHash::of(token))
}

fn sufficient(token: &Token, method: &Method) -> Result<(), Refusal> {
    if token.scope >= method.scope {
        return Ok(());
    }
    let name = token.name.clone();
    Err(Refusal::Scope { name, has: token.scope, method: method.name, needs: method.scope })
}

fn within(token: &Token, method: &Method, named: &[String]) -> Result<(), Refusal> {
    if token.reach == Reach::Everything {
        return Ok(());
    }
    let (name, reach) = (token.name.clone(), token.reach.clone());
    let outside = match method.collections {
        Collections::Nothing => return Ok(()),
        Collections::Everything => {
            return Err(Refusal::Everything { name, reach, method: method.name, remedy: "" });
        }
        Collections::NamedOrEverything(_) if named.is_empty() => {
            return Err(Refusal::Everything {
                name,
                reach,
                method: method.name,
                remedy: " unless the request names some",
            });
        }
        Collections::Always(collection) => Some(collection).filter(|collection| !token.reach.has(collection)),
        Collections::Named(_) | Collections::NamedOrEverything(_) => {
            named.iter().map(String::as_str).find(|collection| !token.reach.has(collection))
        }
    };
    match outside {
        None => Ok(()),
        Some(collection) => Err(Refusal::Collection { name, collection: collection.into(), reach }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::scope::Route;
    use super::*;

    const TOKENS: &str = r#"
        {"name":"reader","sha256":"(a)","scope":"read"}
        {"name":"tracker","sha256":"(b)","scope":"write","collections":["tracks","team-a.*"],"expires":"1970-01-01T00:00:01Z"}
    "#;

    fn list(text: &str) -> TokenList {
        let hash = |letter: &str| TokenHash::of(&letter.repeat(16)).to_string();
        let text = text.replace("(a)", &hash("a")).replace("(b)", &hash("b"));
        TokenList::parse(text.as_bytes()).expect("valid")
    }

    fn gate(now_ms: &Arc<AtomicU64>) -> Gate {
        let now_ms = now_ms.clone();
        Gate::new(list(TOKENS), Arc::new(move || now_ms.load(Ordering::Relaxed)), Arc::default())
    }

    fn method(name: &str) -> &'static Method {
        match Route::of(&format!("/{}/{name}", peat_proto::SERVICE_NAME)) {
            Route::Guarded(method) => method,
            _ => panic!("{name} is not in the table"),
        }
    }

    fn headers(values: &[String]) -> HeaderMap {
        values
            .iter()
            .map(|value| (AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).expect("a value")))
            .collect()
    }

    fn told<T>(answer: Result<T, Status>) -> String {
        answer.map_or_else(
            |status| format!("{}: {}", status.code.as_str(), status.message.unwrap_or_default()),
            |_| "in".into(),
        )
    }

    #[test]
    fn whoever_has_no_good_token_is_told_the_same() {
        let gate = gate(&Arc::new(AtomicU64::new(1000)));
        let (a, b) = ("a".repeat(16), "b".repeat(16));
        let bearer = |token: &str| format!("Bearer {token}");
        let bad: [&[String]; 12] = [
            &[],
            &[bearer(&a), bearer(&a)],
            std::slice::from_ref(&a),
            &["Bearer".into()],
            &["Bearer ".into()],
            &[format!("Basic {a}")],
            &[bearer("short")],
            &[bearer(&"a".repeat(600))],
            &[bearer(&"ä".repeat(16))],
            &[bearer(&format!("{a} {a}"))],
            &[bearer(&"c".repeat(16))],
            &[bearer(&b)], // expired
        ];
        for bad in bad {
            let refused = gate.enter(&headers(bad), method("GetStatus")).expect_err("refused");
            assert_eq!(refused.response_headers()[WWW_AUTHENTICATE], "Bearer realm=\"peat\"");
            assert_eq!(told::<()>(Err(refused)), format!("unauthenticated: {UNAUTHENTICATED}"), "{bad:?}");
        }
        assert_eq!(gate.counts.figures().unauthenticated, 12);
        for good in [bearer(&a), format!("bearer  {a}"), format!("BEARER {a} ")] {
            assert_eq!(told(gate.enter(&headers(std::slice::from_ref(&good)), method("GetStatus"))), "in", "{good}");
        }
    }

    #[test]
    fn a_token_does_what_its_line_says() {
        let gate = gate(&Arc::default());
        let tracker = Pass(TokenHash::of(&"b".repeat(16)));
        let mut shown = vec![];
        let mut ask = |name: &'static str, named: &[&str]| {
            let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
            let asked: String = format!("{named:?}").chars().take(60).collect();
            shown.push(format!("{name} {asked}\n  {}", told(gate.recheck(tracker, method(name), &named))));
        };
        ask("GetStatus", &[]);
        ask("GetDocument", &["tracks"]);
        ask("PutDocument", &["team-a.x"]);
        ask("PutDocument", &["tracks-old"]);
        ask("PutDocument", &[""]);
        ask("PutDocument", &[&"\u{7}é".repeat(1 << 20)]);
        ask("PutDocuments", &["tracks", "team-b"]);
        ask("PutDocuments", &[]);
        ask("PutTrack", &[]);
        ask("PutCommand", &[]);
        ask("Subscribe", &["tracks", "team-a."]);
        ask("Subscribe", &[]);
        ask("GetCollections", &[]);
        ask("SetCollection", &["tracks"]);
        ask("Backup", &[]);
        insta::assert_snapshot!(shown.join("\n"));
        let reader = Pass(TokenHash::of(&"a".repeat(16)));
        assert_eq!(told(gate.recheck(reader, method("Subscribe"), &[])), "in");
        assert!(told(gate.recheck(reader, method("PutDocument"), &[])).starts_with("permission_denied"));
    }

    /// A request is read for the collections that it names, and only if that decides anything.
    #[test]
    fn a_request_is_looked_into_for_a_limited_token_only() {
        let gate = gate(&Arc::default());
        let json = |text: &'static str| Payload::new(text.into(), connectrpc::CodecFormat::Json);
        let (reader, tracker) = (Pass(TokenHash::of(&"a".repeat(16))), Pass(TokenHash::of(&"b".repeat(16))));
        let get = method("GetDocument");
        assert_eq!(told(gate.reach(reader, get, &json("no JSON"))), "in", "the handler will complain");
        assert!(told(gate.reach(tracker, get, &json("no JSON"))).starts_with("invalid_argument"));
        assert_eq!(told(gate.reach(tracker, get, &json(r#"{"collection":"tracks"}"#))), "in");
        let put = json(r#"{"documents":[{"collection":"tracks"},{"collection":"orders"}]}"#);
        assert!(told(gate.reach(tracker, method("PutDocuments"), &put)).contains(r#"not for collection "orders""#));
        let subscribe = method("Subscribe");
        let request = json(r#"{"collections":["tracks","team-a.b"]}"#);
        assert_eq!(subscribe.named(&request).expect("valid"), ["tracks", "team-a.b"]);
        assert_eq!(told(gate.reach(tracker, subscribe, &request)), "in");
    }

    #[tokio::test]
    async fn an_era_ends_with_a_list_and_with_the_time_of_a_token() {
        let now_ms = Arc::new(AtomicU64::new(999));
        let gate = gate(&now_ms);
        let era = gate.era();
        gate.tick();
        assert_eq!(gate.era(), era, "nothing has happened");
        now_ms.store(1000, Ordering::Relaxed);
        let (_, ()) = tokio::join!(gate.after(era), async { gate.tick() });
        assert_eq!(gate.counts.figures().tokens, 1);
        let era = gate.era();
        let (_, ()) = tokio::join!(gate.after(era), async { gate.replace(TokenList::default()) });
        assert_eq!(
            told(gate.recheck(Pass(TokenHash::of(&"a".repeat(16))), method("GetStatus"), &[])).split(':').next(),
            Some("unauthenticated")
        );
    }
}
