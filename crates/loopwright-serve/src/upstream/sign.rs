//! Amazon's Signature Version 4: a request under a key that is derived from the secret, the day, region and service.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Who signs.
#[derive(Clone)]
pub struct Credentials {
    /// `AWS_ACCESS_KEY_ID`
    pub access_key: String,
    /// `AWS_SECRET_ACCESS_KEY`
    pub secret_key: String,
    /// `AWS_SESSION_TOKEN`, where they are temporary.
    pub session_token: Option<String>,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Such as `eu-central-1`.
    pub region: &'a str,
    /// Such as `bedrock`.
    pub service: &'a str,
}

/// What is signed.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// `POST`
    pub method: &'a str,
    /// As it is sent.
    pub path: &'a str,
    /// Names and values, decoded.
    pub query: &'a [(&'a str, &'a str)],
    /// Names in lower case; `host` and `x-amz-date` among them.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

/// The `authorization` header of a request. `date` is that of `x-amz-date`: `20150830T123600Z`.
pub fn authorization(credentials: &Credentials, scope: Scope<'_>, date: &str, request: Signed<'_>) -> String {
    let mut headers: Vec<(&str, String)> = request.headers.iter().map(|(n, v)| (*n, trimmed(v))).collect();
    headers.sort();
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let day = date.get(..8).unwrap_or(date);
    let place = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let canonical = canonical(&request, &headers, &names);
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{place}\n{}", hex::encode(Sha256::digest(canonical.as_bytes())));
    let mut key = format!("AWS4{}", credentials.secret_key).into_bytes();
    for part in [day, scope.region, scope.service, "aws4_request"] {
        key = hmac(&key, part.as_bytes());
    }
    let signature = hex::encode(hmac(&key, text.as_bytes()));
    let who = &credentials.access_key;
    format!("AWS4-HMAC-SHA256 Credential={who}/{place}, SignedHeaders={names}, Signature={signature}")
}

/// The request in the one form that both sides hash.
fn canonical(request: &Signed<'_>, headers: &[(&str, String)], names: &str) -> String {
    let mut query: Vec<(String, String)> = request.query.iter().map(|(n, v)| (encode(n), encode(v))).collect();
    query.sort();
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    // Every service but S3 encodes the path as it is sent once more.
    let path: Vec<String> = request.path.split('/').map(encode).collect();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let body = hex::encode(Sha256::digest(request.body));
    format!("{}\n{}\n{}\n{headers}\n{names}\n{body}", request.method, path.join("/"), query.join("&"))
}

/// Without spaces around it, and one where it has several.
fn trimmed(value: &str) -> String {
    value.split(' ').filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Percent-encoding of everything but RFC 3986's unreserved characters.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "20150830T123600Z";
    const HOST: (&str, &str) = ("host", "example.amazonaws.com");

    fn credentials() -> Credentials {
        Credentials {
            access_key: "AKIDEXAMPLE".into(),
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session_token: None,
        }
    }

    fn check(request: Signed<'_>, signature: &str) {
        let scope = Scope { region: "us-east-1", service: "service" };
        let got = authorization(&credentials(), scope, DATE, request);
        assert_eq!(got.rsplit_once('=').unwrap().1, signature, "{got}");
    }

    /// The vectors of Amazon's published test suite for this signature, by their names there.
    #[test]
    fn the_published_vectors_come_out() {
        let date = ("x-amz-date", DATE);
        let get = Signed { method: "GET", path: "/", query: &[], headers: &[HOST, date], body: b"" };
        // get-vanilla
        check(get, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
        // get-vanilla-query-order-key-case
        let query = [("Param2", "value2"), ("Param1", "value1")];
        let ordered = Signed { query: &query, ..get };
        check(ordered, "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
        // get-utf8
        check(Signed { path: "/ሴ", ..get }, "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85");
        // get-header-key-duplicate, get-header-value-trim
        let headers = [HOST, ("my-header1", "value2,value2,value1"), date];
        check(Signed { headers: &headers, ..get }, "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea");
        let headers = [HOST, ("my-header1", " value1"), ("my-header2", " \"a   b   c\""), date];
        check(Signed { headers: &headers, ..get }, "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736");
        // post-vanilla
        check(Signed { method: "POST", ..get }, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
        // post-x-www-form-urlencoded
        let headers = [("content-type", "application/x-www-form-urlencoded"), HOST, date];
        let form = Signed { method: "POST", headers: &headers, body: b"Param1=value1", ..get };
        check(form, "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a");
    }

    /// The worked example of Amazon's guide to the signature.
    #[test]
    fn the_guides_example_comes_out() {
        let headers = [
            ("host", "iam.amazonaws.com"),
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("x-amz-date", DATE),
        ];
        let query = [("Action", "ListUsers"), ("Version", "2010-05-08")];
        let request = Signed { method: "GET", path: "/", query: &query, headers: &headers, body: b"" };
        let got = authorization(&credentials(), Scope { region: "us-east-1", service: "iam" }, DATE, request);
        assert_eq!(
            got,
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
    }
}
