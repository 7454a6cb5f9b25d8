//! Tags of devices.

use std::sync::Arc;

use axum::Json as JsonAnswer;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::header;
use tidegate_domain::MAX_TAGGED_AT_ONCE;
use tidegate_proto::v1;
use tidegate_service::{Error, Tags};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::input::{Fields, Json, TextPath, body};
use crate::credentials::Caller;
use crate::problem::{Problem, Refusal};
use crate::state::Routes;
use crate::verbs;

/// The largest body that names devices to be tagged, in bytes: a hundred thousand of the longest ids.
pub(crate) const MAX_TAG_BYTES: usize = 16 * 1024 * 1024;

/// The column of a table that has others as well.
const ID_COLUMN: &str = "device_id";

pub(crate) fn routes() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(delete))
        .routes(routes!(devices, change))
        .routes(routes!(rename))
}

type Answer<T> = Result<JsonAnswer<T>, Refusal>;

/// The tag in a body must be the one in the path, or left out.
fn same_tag(in_path: String, in_body: &mut String) -> Result<(), Error> {
    if !in_body.is_empty() && *in_body != in_path {
        return Err(Error::invalid("tag", "is another than the one in the path"));
    }
    *in_body = in_path;
    Ok(())
}

/// Tags by name, with the number of their devices.
#[utoipa::path(
    get, path = "/v1/tags",
    operation_id = "ListTags", tag = "tags", params(v1::ListTagsRequest),
    responses((status = 200, body = v1::ListTagsResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn list(
    State(tags): State<Arc<Tags>>,
    Caller(actor): Caller,
    Fields(request): Fields<v1::ListTagsRequest>,
) -> Answer<v1::ListTagsResponse> {
    Ok(JsonAnswer(verbs::tags::list(&tags, &actor, request).await?))
}

/// Takes a tag from all devices, and removes it.
#[utoipa::path(
    delete, path = "/v1/tags/{tag}",
    operation_id = "DeleteTag", tag = "tags", params(("tag" = String, Path)),
    responses((status = 200, body = v1::DeleteTagResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn delete(
    State(tags): State<Arc<Tags>>,
    Caller(actor): Caller,
    TextPath(tag): TextPath,
) -> Answer<v1::DeleteTagResponse> {
    let request = v1::DeleteTagRequest { tag };
    Ok(JsonAnswer(verbs::tags::delete(&tags, &actor, request).await?))
}

/// The devices that have a tag.
#[utoipa::path(
    get, path = "/v1/tags/{tag}/devices",
    operation_id = "ListTagDevices", tag = "tags",
    params(("tag" = String, Path), ("page_size" = Option<i64>, Query), ("page_token" = Option<String>, Query)),
    responses((status = 200, body = v1::ListTagDevicesResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn devices(
    State(tags): State<Arc<Tags>>,
    Caller(actor): Caller,
    TextPath(tag): TextPath,
    Fields(page): Fields<v1::ListTagsRequest>,
) -> Answer<v1::ListTagDevicesResponse> {
    let request = v1::ListTagDevicesRequest {
        tag,
        page_size: page.page_size,
        page_token: page.page_token,
    };
    Ok(JsonAnswer(
        verbs::tags::devices_with(&tags, &actor, request).await?,
    ))
}

/// Gives a tag to devices, and takes it from others, all at once.
///
/// A body of the type `text/csv` names devices that get the tag: an id in each line, or a table whose first line has a
/// column `device_id`, with commas or semicolons between columns. The schema names JSON alone: generators of clients know no tables.
#[utoipa::path(
    post, path = "/v1/tags/{tag}/devices",
    operation_id = "TagDevices", tag = "tags", params(("tag" = String, Path)),
    request_body = v1::TagDevicesRequest,
    responses((status = 200, body = v1::TagDevicesResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn change(
    State(tags): State<Arc<Tags>>,
    Caller(actor): Caller,
    TextPath(tag): TextPath,
    Named(mut request): Named,
) -> Answer<v1::TagDevicesResponse> {
    same_tag(tag, &mut request.tag)?;
    Ok(JsonAnswer(verbs::tags::change(&tags, &actor, request).await?))
}

/// Gives a tag another name.
#[utoipa::path(
    post, path = "/v1/tags/{tag}/rename",
    operation_id = "RenameTag", tag = "tags", params(("tag" = String, Path)),
    request_body = v1::RenameTagRequest,
    responses((status = 200, body = v1::Tag), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn rename(
    State(tags): State<Arc<Tags>>,
    Caller(actor): Caller,
    TextPath(tag): TextPath,
    Json(mut request): Json<v1::RenameTagRequest>,
) -> Answer<v1::Tag> {
    same_tag(tag, &mut request.tag)?;
    Ok(JsonAnswer(verbs::tags::rename(&tags, &actor, request).await?))
}

/// The devices that a body names, as JSON or as a table.
struct Named(v1::TagDevicesRequest);

impl<S: Send + Sync> FromRequest<S> for Named {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let media_type = content_type
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        if media_type.eq_ignore_ascii_case("text/csv") {
            return Ok(Self(v1::TagDevicesRequest {
                add: ids(&body(request, MAX_TAG_BYTES).await?)?,
                ..v1::TagDevicesRequest::default()
            }));
        }
        let Json(named) = Json::<_, MAX_TAG_BYTES>::from_request(request, state).await?;
        Ok(Self(named))
    }
}

/// The ids of a table: those of its column `device_id`, or its lines where it has a single column without a name.
fn ids(table: &Bytes) -> Result<Vec<String>, Error> {
    let table = table.strip_prefix(b"\xef\xbb\xbf").unwrap_or(table);
    let mut lines = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .delimiter(delimiter(table))
        .from_reader(table);
    let (mut column, mut ids) = (None, vec![]);
    for (at, line) in lines.records().enumerate() {
        let line = line.map_err(|fault| Error::invalid("body", format!("is no table: {fault}")))?;
        let at = line.position().map_or(at as u64 + 1, csv::Position::line);
        let Some(column) = column else {
            column = Some(match line.iter().position(|name| name == ID_COLUMN) {
                Some(found) => found,
                None if line.len() == 1 => {
                    ids.extend(line.get(0).map(str::to_owned));
                    0
                }
                None => {
                    let fault =
                        format!("has several columns, and none is named {ID_COLUMN} in its first line");
                    return Err(Error::invalid("body", fault));
                }
            });
            continue;
        };
        let id = line.get(column).filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| Error::invalid("body", format!("has no {ID_COLUMN} in line {at}")))?;
        // The use case refuses this many by itself; no more are kept than that takes.
        if ids.len() <= MAX_TAGGED_AT_ONCE {
            ids.push(id.to_owned());
        }
    }
    Ok(ids)
}

/// Where the decimal sign is a comma, spreadsheets write semicolons between columns.
fn delimiter(table: &[u8]) -> u8 {
    let first = table
        .split(|byte| matches!(byte, b'\r' | b'\n'))
        .next()
        .unwrap_or_default();
    let mut names = first.split(|byte| *byte == b';').map(|name| {
        let name = name.trim_ascii();
        name.strip_prefix(b"\"")
            .and_then(|name| name.strip_suffix(b"\""))
            .unwrap_or(name)
    });
    match names.any(|name| name == ID_COLUMN.as_bytes()) {
        true => b';',
        false => b',',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(table: &str) -> Result<Vec<String>, String> {
        ids(&Bytes::copy_from_slice(table.as_bytes())).map_err(|error| error.message)
    }

    #[test]
    fn a_table_has_an_id_in_each_line_or_a_column_of_them() {
        for table in [
            "till-1\ntill-2\n",
            "till-1\r\ntill-2",
            "device_id\ntill-1\n\ntill-2\n",
            "\u{feff}device_id\r\ntill-1\r\ntill-2\r\n",
            "shop,device_id\nNorth,till-1\n\"South, left\",\"till-2\"\n",
            "shop;device_id\r\nNorth, right;till-1\r\nSouth;till-2\r\n",
            "\u{feff}\"device_id\";\"shop\"\r\n\"till-1\";\"North; right\"\r\ntill-2;South\r\n",
        ] {
            assert_eq!(
                read(table),
                Ok(vec!["till-1".to_owned(), "till-2".to_owned()]),
                "{table:?}"
            );
        }
        assert_eq!(read(""), Ok(vec![]));
    }

    #[test]
    fn a_table_that_cannot_be_read_says_where() {
        assert!(
            read("shop,till\nNorth,till-1\n")
                .unwrap_err()
                .contains("device_id")
        );
        let fault = read("shop,device_id\nNorth,till-1\nSouth\n").unwrap_err();
        assert!(fault.contains("line 3"), "{fault}");
        let bytes = Bytes::from_static(b"till-1\n\xff\xfe\n");
        assert!(ids(&bytes).is_err());
    }
}
