//! Keys on `/v1`, sign-in for pages.

use crate::desk::{desk, key_record, put};
use loopwright_types::key::Scope;

#[tokio::test]
async fn without_a_good_key_there_is_no_answer() {
    let desk = desk().await;
    for headers in [vec![], vec![("authorization", "Bearer lw_wrong")], vec![("authorization", "Basic eA==")]] {
        for head in ["GET /v1/models", "POST /v1/chat/completions", "POST /v1/feedback"] {
            let reply = desk.ask(head, &headers, "{}").await;
            assert_eq!((reply.status, reply.error_code().as_str()), (401, "invalid_api_key"), "{head} {headers:?}");
            assert_eq!(reply.headers["www-authenticate"], "Bearer");
        }
    }
}

#[tokio::test]
async fn a_withdrawn_key_opens_nothing_from_then_on() {
    let desk = desk().await;
    assert_eq!(desk.get("/v1/models").await.status, 200);
    put(&desk.store, "api_key.revoked", &key_record(&desk.store, 1, Scope::Inference, true)).await;
    desk.settled().await;
    let reply = desk.get("/v1/models").await;
    assert_eq!((reply.status, reply.error_code().as_str()), (401, "invalid_api_key"));
}

#[tokio::test]
async fn pages_need_a_session_or_an_administrators_key() {
    let desk = desk().await;
    let reply = desk.ask("GET /", &[], "").await;
    assert_eq!((reply.status, reply.headers["location"].as_str()), (303, "/sign-in"));
    assert_eq!(desk.get("/").await.status, 403, "an inference key is not enough");
    let admin = format!("Bearer {}", desk.admin);
    assert_eq!(desk.ask("GET /", &[("authorization", &admin)], "").await.status, 200);
    assert_eq!(desk.ask("GET /", &[("cookie", "loopwright_session=lw_made_up")], "").await.status, 303);
}

#[tokio::test]
async fn a_link_signs_in_once() {
    let desk = desk().await;
    let link = desk.server.sign_in_url().unwrap();
    let path = link.strip_prefix(&desk.server.url()).unwrap();
    let reply = desk.ask(&format!("GET {path}"), &[], "").await;
    assert_eq!(reply.status, 200);
    let cookie = &reply.headers["set-cookie"];
    for part in ["loopwright_session=lw_", "; HttpOnly", "; SameSite=Strict", "; Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let session = cookie.split(';').next().unwrap();
    assert_eq!(desk.ask("GET /", &[("cookie", session)], "").await.status, 200);
    let again = desk.ask(&format!("GET {path}"), &[], "").await;
    assert_eq!(again.status, 401);
    assert!(!again.headers.contains_key("set-cookie"));

    let out = desk.ask("POST /sign-out", &[("cookie", session)], "").await;
    assert!(out.headers["set-cookie"].contains("Max-Age=0"));
    assert_eq!(desk.ask("GET /", &[("cookie", session)], "").await.status, 303);
}

#[tokio::test]
async fn the_form_takes_an_administrators_key_and_no_other() {
    let desk = desk().await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let sign_in = async |key: &str| desk.ask("POST /sign-in", &form, &format!("key={key}")).await;
    let reply = sign_in(&desk.admin).await;
    assert_eq!(reply.status, 200);
    let session = reply.headers["set-cookie"].split(';').next().unwrap();
    assert_eq!(desk.ask("GET /", &[("cookie", session)], "").await.status, 200);
    for wrong in [desk.key.as_str(), "lw_wrong", ""] {
        let reply = sign_in(wrong).await;
        assert_eq!(reply.status, 401, "{wrong}");
        assert!(!reply.headers.contains_key("set-cookie"));
    }
}
