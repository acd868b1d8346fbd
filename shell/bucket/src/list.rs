//! What a bucket holds.

use http::Method;
use remit_identity::form;
use roxmltree::{Document, Node};

use crate::request::Asked;
use crate::{Bucket, BucketError};

/// The most objects of one page: the API's own limit.
const PAGE_MAX: &str = "1000";

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its entity tag.
    pub etag: String,
}

/// A page of objects, in the order of their keys' bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The objects.
    pub objects: Vec<Object>,
    /// Where the next page goes on; `None` at the end.
    pub next: Option<String>,
}

/// A version of an object, or a delete marker, which hides those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The object's key.
    pub key: String,
    /// The version.
    pub version: String,
    /// Its length in bytes; 0 for a delete marker.
    pub bytes: u64,
    /// Whether it is the one that is found without a version.
    pub latest: bool,
    /// Whether it is a delete marker.
    pub delete_marker: bool,
}

/// A page of versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versions {
    /// The versions.
    pub versions: Vec<Version>,
    /// Where the next page goes on, as key and version; `None` at the end.
    pub next: Option<(String, String)>,
}

impl Bucket {
    /// A page of the objects whose keys begin with `prefix` (`ListObjectsV2`); `next` of the page before goes on.
    pub async fn list(&self, prefix: &str, next: Option<&str>, now_secs: u64) -> Result<Listing, BucketError> {
        let mut asked = Asked::new(Method::GET, None);
        asked.query = vec![("encoding-type", "url"), ("list-type", "2"), ("max-keys", PAGE_MAX), ("prefix", prefix)];
        asked.query.extend(next.map(|token| ("continuation-token", token)));
        let text = self.page(asked, now_secs).await?;
        let document = parse(&text)?;
        let root = document.root_element();
        let object = |node: Node<'_, '_>| {
            Ok(Object { key: decoded(&root, need(&node, "Key")?)?, bytes: bytes(&node)?, etag: need(&node, "ETag")?.to_owned() })
        };
        let objects = children(&root, "Contents").map(object).collect::<Result<_, BucketError>>()?;
        let next = truncated(&root)?.then(|| need(&root, "NextContinuationToken").map(str::to_owned)).transpose()?;
        Ok(Listing { objects, next })
    }

    /// A page of all versions and delete markers of the keys that begin with `prefix` (`ListObjectVersions`): what a delete marker hides is in it.
    pub async fn versions(&self, prefix: &str, next: Option<(&str, &str)>, now_secs: u64) -> Result<Versions, BucketError> {
        let mut asked = Asked::new(Method::GET, None);
        asked.query = vec![("encoding-type", "url"), ("max-keys", PAGE_MAX), ("prefix", prefix), ("versions", "")];
        if let Some((key, version)) = next {
            asked.query.extend([("key-marker", key), ("version-id-marker", version)]);
        }
        let text = self.page(asked, now_secs).await?;
        let document = parse(&text)?;
        let root = document.root_element();
        let mut versions = Vec::new();
        for node in root.children() {
            let delete_marker = node.tag_name().name() == "DeleteMarker";
            if delete_marker || node.tag_name().name() == "Version" {
                versions.push(Version {
                    key: decoded(&root, need(&node, "Key")?)?,
                    version: need(&node, "VersionId")?.to_owned(),
                    bytes: if delete_marker { 0 } else { bytes(&node)? },
                    latest: need(&node, "IsLatest")? == "true",
                    delete_marker,
                });
            }
        }
        let next = if truncated(&root)? {
            let version = child(&root, "NextVersionIdMarker").unwrap_or_default().to_owned();
            Some((decoded(&root, need(&root, "NextKeyMarker")?)?, version))
        } else {
            None
        };
        Ok(Versions { versions, next })
    }

    async fn page(&self, asked: Asked<'_>, now_secs: u64) -> Result<String, BucketError> {
        let answer = self.ask(asked, now_secs).await?;
        if !answer.status.is_success() {
            return Err(answer.refused());
        }
        String::from_utf8(answer.body.to_vec()).map_err(|_| BucketError::Answer("a listing that is no UTF-8".to_owned()))
    }
}

fn parse(text: &str) -> Result<Document<'_>, BucketError> {
    Document::parse(text).map_err(|error| BucketError::Answer(format!("a listing that is no XML: {error}")))
}

fn children<'a, 'i: 'a>(node: &Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| child.tag_name().name() == name)
}

/// The text of a child; empty if it has none.
fn child<'a>(node: &Node<'a, '_>, name: &'static str) -> Option<&'a str> {
    children(node, name).next().map(|found| found.text().unwrap_or_default())
}

fn need<'a>(node: &Node<'a, '_>, name: &'static str) -> Result<&'a str, BucketError> {
    child(node, name).ok_or_else(|| BucketError::Answer(format!("a listing without `{name}`")))
}

fn bytes(node: &Node<'_, '_>) -> Result<u64, BucketError> {
    need(node, "Size")?.parse().map_err(|_| BucketError::Answer("a listing with a size that is no number".to_owned()))
}

fn truncated(root: &Node<'_, '_>) -> Result<bool, BucketError> {
    Ok(need(root, "IsTruncated")? == "true")
}

/// A key as it is; a bucket that was asked for encoded keys says whether it did.
fn decoded(root: &Node<'_, '_>, text: &str) -> Result<String, BucketError> {
    if child(root, "EncodingType") != Some("url") {
        return Ok(text.to_owned());
    }
    form::decode(text).ok_or_else(|| BucketError::Answer("a listing with a key that is wrongly encoded".to_owned()))
}
