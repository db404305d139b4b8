//! `/sign-in`: the form for an admin key.

use super::shell::{Refresh, Section, page, refreshed_page};
use maud::{Markup, html};

/// The form; `problem` says why the last try failed.
pub fn sign_in(problem: Option<&str>) -> Markup {
    page(
        Section::Outside,
        "Sign in",
        html! {
            p { "The pages show records, so they want a key with the scope " code { "admin" } "." }
            @if let Some(problem) = problem { p.notice.bad role="alert" { strong { "Not signed in: " } (problem) } }
            form.panel method="post" action="/sign-in" {
                div.field {
                    label for="key" { "Admin key" }
                    input #key name="key" type="password" autocomplete="current-password" required autofocus;
                }
                button type="submit" { "Sign in" }
            }
            p { "No key at hand? Make one on the machine that runs this server:" }
            pre { code { "loopwright key make --owner NAME --admin" } }
        },
    )
}

/// What a fresh session sees first. It goes on by itself: a redirect would lose the cookie of somebody who came by a
/// link from elsewhere.
pub fn signed_in() -> Markup {
    refreshed_page(
        Section::Outside,
        "Signed in",
        Refresh { after_s: 0, to: "/" },
        html! { p.lead { "You are signed in. " a href="/" { "Go to the loop" } } },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_asks_for_a_key_and_shows_no_navigation() {
        let html = sign_in(Some("that key is not known")).into_string();
        assert!(html.contains("type=\"password\"") && html.contains("action=\"/sign-in\""));
        assert!(html.contains("Not signed in: </strong>that key is not known"));
        assert!(!html.contains("<nav") && !html.contains("Sign out"));
    }

    #[test]
    fn a_fresh_session_goes_on_to_the_loop() {
        let html = signed_in().into_string();
        assert!(html.contains("content=\"0;url=/\"") && html.contains("<a href=\"/\">Go to the loop</a>"));
    }
}
