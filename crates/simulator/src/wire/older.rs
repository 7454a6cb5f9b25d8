//! An agent of before, as the server sees it: today's, of whose requests and answers everything is taken away that came with
//! protocol 2. What is left installs as soon as it has the file, as those agents did.

use bytes::Bytes;
use http::Request;
use serde_json::Value;
use tidegate_agent::Error;
use url::Url;

/// What polls have told since protocol 2.
const NEW_IN_POLLS: [&str; 6] = ["protocol", "zone", "fetched", "dense", "crashes", "patches"];

/// What manifests have told since protocol 2.
const NEW_IN_MANIFESTS: [&str; 7] = [
    "protocol",
    "offer",
    "rollout_id",
    "install_openings",
    "install_when",
    "install_deadline",
    "patch",
];

/// A poll of this protocol: 1, or 0 for one that names none.
pub(super) fn poll(request: Request<Bytes>, protocol: u32) -> Result<Request<Bytes>, Error> {
    let (mut head, body) = request.into_parts();
    let fault = |fault: &dyn std::fmt::Display| Error::Transport(fault.to_string());
    let mut url = Url::parse(&head.uri.to_string()).map_err(|error| fault(&error))?;
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| !NEW_IN_POLLS.contains(&name.as_ref()))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    url.query_pairs_mut().clear().extend_pairs(kept);
    if protocol > 0 {
        url.query_pairs_mut()
            .append_pair("protocol", &protocol.to_string());
    }
    head.uri = url.as_str().parse().map_err(|error| fault(&error))?;
    Ok(Request::from_parts(head, body))
}

/// A manifest as such an agent reads it.
pub(super) fn manifest(body: Vec<u8>) -> Vec<u8> {
    let Ok(Value::Object(mut manifest)) = serde_json::from_slice(&body) else {
        return body;
    };
    manifest.retain(|name, _| !NEW_IN_MANIFESTS.contains(&name.as_str()));
    serde_json::to_vec(&manifest).unwrap_or(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_of_before_tells_and_hears_nothing_of_windows() {
        let asked = "http://127.0.0.1/v1/agent/update?device_id=a&protocol=2&zone=Europe%2FLisbon&patches=tgp1&sdk=30";
        for (protocol, left) in [(0, "device_id=a&sdk=30"), (1, "device_id=a&sdk=30&protocol=1")] {
            let request = Request::get(asked).body(Bytes::new()).unwrap();
            assert_eq!(poll(request, protocol).unwrap().uri().query(), Some(left));
        }
        let read =
            manifest(br#"{"build_id":2,"protocol":2,"install_openings":[],"offer":"x","patch":{}}"#.to_vec());
        assert_eq!(read, br#"{"build_id":2}"#);
        assert_eq!(manifest(b"nothing".to_vec()), b"nothing");
    }
}
