//! What would become of a request: the route, and the JSON that `tidegate explain` writes too.

use std::net::{IpAddr, Ipv4Addr};

use axum::Json;
use axum::extract::State;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Shared;
use super::json::JsonBody;
use super::limit_view::{LimitView, Outage, RuleMode};
use super::problem::Problem;
use crate::bounds::Bounds;
use crate::header_field;
use crate::policy::Policy;
use crate::proxy::explain::{self, Checked, Decision, Kind, Other, Seen};

/// The request that is explained, as a client sends it over HTTP/1.1.
#[derive(Debug)]
pub struct Question {
    /// Its method.
    pub method: Method,
    /// Its URL, or its path and query.
    pub url: Uri,
    /// Its fields.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The other end of the connection.
    pub peer: IpAddr,
}

impl Question {
    /// Explains what becomes of the request.
    pub(crate) fn explain<'p>(
        &self,
        policy: &'p Policy,
        bounds: &Bounds,
    ) -> Result<explain::Explanation<'p>, http::Error> {
        Ok(explain::explain(policy, bounds, self.request()?, self.peer))
    }

    /// Returns the request in the form in which a client sends it to its proxy.
    fn request(&self) -> Result<Request<()>, http::Error> {
        let target = self.url.path_and_query().map_or("/", |target| target.as_str());
        let mut request = Request::builder().method(self.method.clone()).uri(target).body(())?;
        let headers = request.headers_mut();
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        // As with curl, a Host field takes the place of the host of the URL.
        if !headers.contains_key(header::HOST) {
            let host = self.url.authority().map_or("localhost", |authority| authority.as_str());
            headers.insert(header::HOST, HeaderValue::try_from(host)?);
        }
        Ok(request)
    }
}

/// A request to explain.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Question)]
pub(super) struct QuestionBody {
    /// The method; GET if absent.
    #[serde(default)]
    method: Option<String>,
    /// Where the client sends it: `http://HOST/PATH?QUERY`, or `/PATH?QUERY`.
    url: String,
    /// Its header fields, each as `NAME: VALUE`.
    #[serde(default)]
    #[schema(max_items = 100)]
    headers: Vec<String>,
    /// The address that the connection comes from: that of the client, or of the proxy before tidegate. 127.0.0.1 if absent.
    #[serde(default)]
    peer: Option<String>,
}

impl QuestionBody {
    /// Reads the request. An error repeats no value of a header field, which may be a secret.
    fn read(self) -> Result<Question, String> {
        let method = self.method.as_deref().unwrap_or("GET");
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| "invalid method".to_owned())?;
        let url: Uri = self.url.parse().map_err(|error| format!("invalid url: {error}"))?;
        let headers = self.headers.iter().enumerate().map(|(index, text)| {
            header_field::read(text).map_err(|error| format!("invalid header field {index}: {error}"))
        });
        let headers = headers.collect::<Result<_, _>>()?;
        let peer = self.peer.as_deref().map(str::parse).transpose();
        let peer = peer.map_err(|_| "the peer is not an IP address".to_owned())?;
        Ok(Question { method, url, headers, peer: peer.unwrap_or(Ipv4Addr::LOCALHOST.into()) })
    }
}

/// What would become of a request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Explanation)]
pub(crate) struct ExplanationView {
    method: String,
    url: String,
    peer: String,
    /// As the rules see it. Null: it is refused before.
    #[schema(required = true)]
    seen: Option<SeenView>,
    decision: DecisionView,
    /// The bypass that lets it through.
    #[schema(required = true)]
    bypass: Option<String>,
    /// The status with which it is refused without a check.
    #[schema(required = true)]
    status: Option<u16>,
    /// Why it is refused.
    #[schema(required = true)]
    reason: Option<String>,
    /// What it counts against, all or none: global rules first.
    checks: Vec<CheckView>,
    /// The bypasses and rules that it does not fall under.
    others: Vec<OtherView>,
}

/// A request as the rules see it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Seen)]
struct SeenView {
    host: String,
    /// The path that rules compare.
    path: String,
    /// The path and the query that are forwarded.
    forwarded: String,
    websocket: bool,
    /// The address of the client.
    client: String,
}

/// What becomes of a request, as metrics name it where the limiter has no part in it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Decision)]
enum DecisionView {
    Bypassed,
    /// It cannot be read or counted.
    Rejected,
    /// An operator has blocked its client.
    Blocked,
    /// It is forwarded if each limit has room.
    Checked,
    Unlimited,
}

/// A rule that a request counts against.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Check)]
struct CheckView {
    rule: String,
    global: bool,
    mode: RuleMode,
    on_outage: Outage,
    /// The parts of the key.
    key: Vec<String>,
    /// The id of the client.
    counter: String,
    /// The tier whose limits these are.
    #[schema(required = true)]
    tier: Option<String>,
    limits: Vec<LimitView>,
    #[schema(required = true)]
    trial: Option<LimitView>,
    /// Whether the rule matches in some readings of the request only.
    in_one_reading: bool,
}

/// A bypass or a rule that a request does not fall under.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Other)]
struct OtherView {
    kind: OtherKind,
    name: String,
    why: String,
}

/// What a request does not fall under.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum OtherKind {
    Bypass,
    Rule,
    Global,
}

impl ExplanationView {
    pub(crate) fn new(question: &Question, explanation: &explain::Explanation<'_>) -> Self {
        let explain::Explanation { seen, decision, checks, others } = explanation;
        let (mut bypass, mut status, mut reason) = (None, None, None);
        let decision = match decision {
            Decision::Bypassed { bypass: name } => {
                bypass = Some((*name).to_owned());
                DecisionView::Bypassed
            }
            Decision::Refused { status: code, reason: text } => {
                (status, reason) = (Some(*code), Some(text.clone()));
                if *code == StatusCode::FORBIDDEN { DecisionView::Blocked } else { DecisionView::Rejected }
            }
            Decision::Checked => DecisionView::Checked,
            Decision::Unlimited => DecisionView::Unlimited,
        };
        Self {
            method: question.method.to_string(),
            url: question.url.to_string(),
            peer: question.peer.to_string(),
            seen: seen.as_ref().map(SeenView::new),
            decision,
            bypass,
            status,
            reason,
            checks: checks.iter().map(CheckView::new).collect(),
            others: others.iter().map(OtherView::new).collect(),
        }
    }
}

impl SeenView {
    fn new(seen: &Seen) -> Self {
        let Seen { host, path, forwarded, websocket, client, .. } = seen;
        let (host, path, forwarded) = (host.clone(), path.clone(), forwarded.clone());
        Self { host, path, forwarded, websocket: *websocket, client: client.address.to_string() }
    }
}

impl CheckView {
    fn new(check: &Checked<'_>) -> Self {
        let Checked { rule, is_global, tier, client, in_one_reading } = check;
        Self {
            rule: rule.name.to_string(),
            global: *is_global,
            mode: rule.mode.into(),
            on_outage: rule.on_outage.into(),
            key: rule.key.parts.iter().map(ToString::to_string).collect(),
            counter: client.clone(),
            tier: tier.map(str::to_owned),
            limits: rule.limits.iter().map(LimitView::new).collect(),
            trial: rule.trial.as_deref().map(LimitView::new),
            in_one_reading: *in_one_reading,
        }
    }
}

impl OtherView {
    fn new(other: &Other<'_>) -> Self {
        let kind = match other.kind {
            Kind::Bypass => OtherKind::Bypass,
            Kind::Rule => OtherKind::Rule,
            Kind::Global => OtherKind::Global,
        };
        Self { kind, name: other.name.to_owned(), why: other.why.clone() }
    }
}

/// Explains what would become of a request, overrides included. Counts nothing.
#[utoipa::path(
    post,
    path = "/v1/explain",
    tag = "rules",
    request_body = QuestionBody,
    responses(
        (status = 200, description = "The decision, and why.", body = ExplanationView),
        (status = 422, description = "Not a request that a client can send.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn explain(
    State(shared): State<Shared>,
    JsonBody(body): JsonBody<QuestionBody>,
) -> Result<Json<ExplanationView>, Problem> {
    let fault = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
    let question = body.read().map_err(fault)?;
    let policy = shared.parts.overrides.policy();
    let explanation = question.explain(&policy, &shared.parts.bounds);
    let explanation = explanation.map_err(|error| fault(error.to_string()))?;
    Ok(Json(ExplanationView::new(&question, &explanation)))
}
