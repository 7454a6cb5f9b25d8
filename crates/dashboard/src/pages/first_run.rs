//! What is left to do until the first device is offered the first build.

use tidegate_service::{Error, Page as PageOf};

use crate::AppState;

/// Among how many builds, the newest first, one is looked for that was ever released.
const BUILDS_LOOKED_AT: u32 = 20;

/// The way to the first release. All that is left out of it has been done.
pub(crate) struct FirstRun {
    pub(crate) uploaded: bool,
    pub(crate) enrolled: bool,
    pub(crate) promoted: bool,
    /// The build to promote, once there is one.
    pub(crate) newest: Option<i64>,
}

/// `None` once a build was uploaded and released and a device is there.
pub(crate) async fn of(app: &AppState) -> Result<Option<FirstRun>, Error> {
    let enrolled = app.fleet.overview().devices > 0;
    let promoted = !app.builds.serving().is_empty();
    if enrolled && promoted {
        return Ok(None);
    }
    let page = PageOf::new(Some(BUILDS_LOOKED_AT), None)?;
    let builds = app.builds.list(None, page).await?.items;
    let way = FirstRun {
        uploaded: !builds.is_empty(),
        enrolled,
        promoted: promoted || builds.iter().any(|view| view.last.is_some()),
        newest: builds.first().map(|view| view.build.id.0),
    };
    Ok((!(way.uploaded && way.enrolled && way.promoted)).then_some(way))
}
