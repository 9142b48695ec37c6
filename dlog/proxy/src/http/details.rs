use std::sync::Arc;

use axum::response::{IntoResponse, Json, Response};
use serde::{Serialize, Serializer};

use super::HttpState;
use super::catalogue::{self, Details, Measure, Row, Snapshot};
use super::problem::{OwnerBody, Problem};
use super::query::QueryPairs;
use super::retention::RetentionBody;
use axum::http::StatusCode as Http;
use distributedlog_store::{Owner, StreamName};

/// Number of streams in a page. Default: 100.
const PAGE: usize = 100;
/// Maximum number of streams in a page with details.
const MAX_PAGE: usize = 1_000;

/// The order of a list of streams with details, and what is in it.
#[derive(Debug)]
pub(super) struct DetailsQuery {
    sort: Sort,
    descending: bool,
    search: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Name,
    By(Measure),
}

impl DetailsQuery {
    /// Parses the parameters. `None`: details are not asked for.
    ///
    /// # Errors
    ///
    /// A parameter cannot be used, or has a meaning only with details.
    pub(super) fn parse(query: &QueryPairs) -> Result<Option<Self>, Problem> {
        if !query.parse("details", "true or false")?.unwrap_or(false) {
            for name in ["sort", "order", "search"] {
                if query.text(name).is_some() {
                    let detail = format!("{name}: add details=true to the query");
                    return Err(Problem::bad_request(detail));
                }
            }
            return Ok(None);
        }
        if query.text("filter").is_some() {
            let detail = "filter: lists with details have prefix= and search= instead";
            return Err(Problem::bad_request(detail));
        }
        let sort = match query.text("sort").as_deref() {
            None | Some("name") => Sort::Name,
            Some("bytes") => Sort::By(Measure::Bytes),
            Some("last_write") => Sort::By(Measure::LastWrite),
            Some("rate") => Sort::By(Measure::Rate),
            Some(_) => {
                let detail = "sort: write name, bytes, last_write or rate";
                return Err(Problem::bad_request(detail));
            }
        };
        let descending = match query.text("order").as_deref() {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(_) => return Err(Problem::bad_request("order: write asc or desc")),
        };
        Ok(Some(Self {
            sort,
            descending,
            search: query.text("search").unwrap_or_default(),
        }))
    }
}

#[derive(Debug, Serialize)]
struct ListBody {
    streams: Vec<RowBody>,
    /// The `after` of the next page. `None` if this is the last one.
    next: Option<StreamName>,
    /// Number of streams in all pages. `None`: more than are counted.
    total: Option<usize>,
}

#[derive(Debug, Serialize)]
struct RowBody {
    stream: StreamName,
    created_ms: Option<u64>,
    bytes: Option<u64>,
    records: Option<u64>,
    segments: Option<u64>,
    first_ms: Option<u64>,
    last_ms: Option<u64>,
    #[serde(serialize_with = "owner")]
    owner: Option<Arc<Owner>>,
    retention: Option<RetentionBody>,
    write_rate: Option<RateBody>,
}

#[derive(Debug, Serialize)]
struct RateBody {
    records_per_s: f64,
    bytes_per_s: f64,
}

fn owner<S: Serializer>(owner: &Option<Arc<Owner>>, serializer: S) -> Result<S::Ok, S::Error> {
    let body = owner
        .as_ref()
        .map(|owner| OwnerBody::from((**owner).clone()));
    body.serialize(serializer)
}

impl From<Row> for RowBody {
    fn from(row: Row) -> Self {
        let details = row.details.as_ref();
        Self {
            created_ms: details.map(|details| details.created_ms),
            bytes: details.map(|details| details.bytes),
            records: details.map(|details| details.records),
            segments: details.map(|details| details.segments),
            first_ms: details.and_then(|details| details.first_ms),
            last_ms: details.and_then(|details| details.last_ms),
            owner: details.and_then(|details| details.owner.clone()),
            retention: details.and_then(|details| details.retention.map(RetentionBody::from)),
            write_rate: row.rate.map(|rate| RateBody {
                records_per_s: rate.records_per_s,
                bytes_per_s: rate.bytes_per_s,
            }),
            stream: row.name,
        }
    }
}

/// A page of streams to choose.
struct Choice {
    query: DetailsQuery,
    prefix: String,
    after: Option<String>,
    limit: usize,
}

/// A page that was chosen.
struct Chosen {
    rows: Vec<Row>,
    has_more: bool,
    total: usize,
}

/// Lists streams with what the store and this proxy know of each.
pub(super) async fn list(
    state: &HttpState,
    query: DetailsQuery,
    prefix: String,
    after: Option<String>,
    limit: Option<usize>,
) -> Result<Response, Problem> {
    let limit = limit.unwrap_or(PAGE);
    if limit == 0 || limit > MAX_PAGE {
        let detail = format!("limit: {limit} is not between 1 and {MAX_PAGE}, with details");
        return Err(Problem::bad_request(detail));
    }
    let snapshot = state.catalogue.snapshot(&state.service).await;
    let snapshot = snapshot.map_err(|error| Problem::of_listing(&error))?;
    if let Sort::By(Measure::Bytes | Measure::LastWrite) = query.sort
        && !snapshot.has_details
    {
        let detail = "sort: this store would have to be asked about each stream, and there are \
                      too many: sort by name or rate";
        return Err(Problem::new(Http::NOT_IMPLEMENTED, "UNSUPPORTED", detail));
    }
    let is_complete = snapshot.is_complete;
    let choice = Choice {
        query,
        prefix,
        after,
        limit,
    };
    // Sorting and comparing many names takes milliseconds, in which this thread serves others.
    let chosen = tokio::task::spawn_blocking(move || choice.choose(&snapshot)).await;
    let mut chosen = chosen.expect("it neither panics nor is aborted")?;
    describe_missing(state, &mut chosen.rows).await;
    let next = chosen.rows.last().filter(|_| chosen.has_more);
    Ok(Json(ListBody {
        next: next.map(|row| row.name.clone()),
        total: is_complete.then_some(chosen.total),
        streams: chosen.rows.into_iter().map(RowBody::from).collect(),
    })
    .into_response())
}

/// Asks a store without streams in short for those of the page.
async fn describe_missing(state: &HttpState, rows: &mut [Row]) {
    let missing = rows.iter_mut().filter(|row| row.details.is_none());
    let (mut rows, names): (Vec<_>, Vec<_>) = missing
        .map(|row| {
            let name = row.name.clone();
            (row, name)
        })
        .unzip();
    let described = catalogue::describe(&state.service, &names).await;
    for (row, summary) in rows.iter_mut().zip(described) {
        row.details = summary.map(|mut summary| {
            let owner = summary.owner.take().map(Arc::new);
            Details::new(&summary, owner)
        });
    }
}

impl Choice {
    fn choose(&self, snapshot: &Snapshot) -> Result<Chosen, Problem> {
        let rows = &snapshot.rows;
        let begin = self.begin(snapshot)?;
        let count = rows.len();
        let order = match self.query.sort {
            Sort::Name => None,
            Sort::By(measure) => Some(snapshot.order(measure)),
        };
        let nth = |place: usize| {
            let place = if self.query.descending {
                count - 1 - place
            } else {
                place
            };
            let index = order.map_or(place, |order| order[place] as usize);
            &rows[index]
        };
        let search = self.query.search.as_bytes();
        let matches = |row: &&Row| {
            let name = row.name.as_str();
            name.starts_with(&self.prefix) && contains(name.as_bytes(), search)
        };
        let mut found = (begin..count).map(nth).filter(matches);
        let chosen = found.by_ref().take(self.limit).cloned().collect();
        let has_more = found.next().is_some();
        let total = if self.prefix.is_empty() && search.is_empty() {
            count
        } else {
            rows.iter().filter(matches).count()
        };
        Ok(Chosen {
            rows: chosen,
            has_more,
            total,
        })
    }

    /// Returns the place at which the page begins: behind the stream of `after`.
    fn begin(&self, snapshot: &Snapshot) -> Result<usize, Problem> {
        let Some(after) = self.after.as_deref() else {
            return Ok(0);
        };
        let rows = &snapshot.rows;
        let found = rows.binary_search_by(|row| row.name.as_str().cmp(after));
        let place = match (self.query.sort, found) {
            (Sort::Name, Ok(index)) => index,
            (Sort::Name, Err(index)) if self.query.descending => return Ok(rows.len() - index),
            (Sort::Name, Err(index)) => return Ok(index),
            (Sort::By(measure), Ok(index)) => {
                let mut order = snapshot.order(measure).iter();
                let place = order.position(|at| *at as usize == index);
                place.expect("an order has every row")
            }
            (Sort::By(_), Err(_)) => {
                let detail = "after: there is no such stream any more: begin with the first page";
                return Err(Problem::bad_request(detail));
            }
        };
        Ok(if self.query.descending {
            rows.len() - place
        } else {
            place + 1
        })
    }
}

/// Returns true if a text has a part, whatever the case of its letters.
fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty()
        || text
            .windows(part.len())
            .any(|window| window.eq_ignore_ascii_case(part))
}
