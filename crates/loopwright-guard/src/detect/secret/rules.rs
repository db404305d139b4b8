//! The table of secrets that services give a shape of their own, from the services' published token formats.
//!
//! A row has a name, the words by which the first pass finds it, a grammar that must fit from its first to its last
//! character, and the least entropy (Shannon, bits per character), which leaves `ghp_xxxx…` in the documentation alone.
//! A grammar is compiled when its word is first met.

use super::entropy_bits;
use regex::Regex;
use std::sync::OnceLock;

/// Longest secret of one line, in bytes.
const SECRET_BYTES_MAX: usize = 4096;
/// Between a word and its value at most so many bytes of names, signs and spaces.
const GAP_BYTES_MAX: usize = 40;

/// How a row's grammar lies to its word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The word is a part of the secret, at most so many bytes behind its beginning.
    Token(usize),
    /// The word stands before an assignment of the secret.
    Value,
}

/// One class of secret.
pub(crate) struct Rule {
    /// Its name, as reports show it.
    pub(crate) id: &'static str,
    keywords: &'static [&'static str],
    form: Form,
    /// A regular expression for ASCII.
    pub(crate) grammar: &'static str,
    /// In bits per character.
    entropy_min: f64,
    compiled: OnceLock<Regex>,
}

const fn row(
    id: &'static str,
    keywords: &'static [&'static str],
    form: Form,
    grammar: &'static str,
    entropy_min: f64,
) -> Rule {
    Rule { id, keywords, form, grammar, entropy_min, compiled: OnceLock::new() }
}

/// A secret that begins with its word.
const fn token(id: &'static str, keywords: &'static [&'static str], grammar: &'static str, entropy_min: f64) -> Rule {
    row(id, keywords, Form::Token(0), grammar, entropy_min)
}

/// A secret that has its word inside, at most `lead` bytes from its beginning.
const fn inside(
    id: &'static str,
    keywords: &'static [&'static str],
    lead: usize,
    grammar: &'static str,
    entropy_min: f64,
) -> Rule {
    row(id, keywords, Form::Token(lead), grammar, entropy_min)
}

/// A secret without a mark of its own, that is assigned to something with this word in its name.
const fn value(id: &'static str, keywords: &'static [&'static str], grammar: &'static str, entropy_min: f64) -> Rule {
    row(id, keywords, Form::Value, grammar, entropy_min)
}

/// Every class.
#[rustfmt::skip]
pub(crate) static RULES: [Rule; 138] = [
    token("aws_access_key_id", &["AKIA", "ASIA", "ABIA", "ACCA"], r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}", 2.5),
    value("aws_secret_access_key", &["aws_secret", "secret_access_key", "secretaccesskey"], r"[A-Za-z0-9/+]{40}", 3.5),
    value("aws_session_token", &["aws_session_token", "sessiontoken"], r"[A-Za-z0-9/+]{100,}={0,2}", 3.5),
    token("aws_bedrock_api_key", &["ABSK"], r"ABSK[A-Za-z0-9+/]{100,}={0,2}", 3.5),
    token("gcp_api_key", &["AIza"], r"AIza[A-Za-z0-9_-]{35}", 3.0),
    token("google_oauth_client_secret", &["GOCSPX-"], r"GOCSPX-[A-Za-z0-9_-]{28}", 3.0),
    token("google_oauth_access_token", &["ya29."], r"ya29\.[A-Za-z0-9_-]{20,}", 3.0),
    token("google_oauth_refresh_token", &["1//0"], r"1//0[A-Za-z0-9_-]{40,}", 3.5),
    token("azure_storage_key", &["AccountKey="], r"AccountKey=[A-Za-z0-9+/]{86}==", 3.5),
    token("azure_shared_access_key", &["SharedAccessKey="], r"SharedAccessKey=[A-Za-z0-9+/]{43}=", 3.5),
    token("azure_sas_signature", &["sig="], r"sig=[A-Za-z0-9%]{43,63}%3[dD]", 3.5),
    inside("azure_ad_client_secret", &["Q~"], 4, r"[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}", 3.0),
    inside("azure_devops_token", &["AZDO"], 76, r"[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}", 3.5),
    token("alibaba_access_key_id", &["LTAI"], r"LTAI[A-Za-z0-9]{20}", 3.0),
    token("tencent_secret_id", &["AKID"], r"AKID[A-Za-z0-9]{32}", 3.0),
    token("digitalocean_personal", &["dop_v1_"], r"dop_v1_[a-f0-9]{64}", 3.0),
    token("digitalocean_oauth", &["doo_v1_"], r"doo_v1_[a-f0-9]{64}", 3.0),
    token("digitalocean_refresh", &["dor_v1_"], r"dor_v1_[a-f0-9]{64}", 3.0),
    token("cloudflare_origin_ca", &["v1.0-"], r"v1\.0-[a-f0-9]{24}-[a-f0-9]{146}", 3.0),
    token("heroku_api_key", &["HRKU-AA"], r"HRKU-AA[A-Za-z0-9_-]{58}", 3.0),
    token("fly_io_token", &["fm2_"], r"fm2_[A-Za-z0-9+/]{100,}={0,3}", 3.5),
    token("supabase_access_token", &["sbp_"], r"sbp_[a-f0-9]{40}", 3.0),
    token("tailscale_key", &["tskey-"], r"tskey-[a-z]{3,8}-[A-Za-z0-9]{10,}-[A-Za-z0-9]{20,}", 3.0),
    token("github_personal", &["ghp_"], r"ghp_[A-Za-z0-9]{20,255}", 3.0),
    token("github_oauth", &["gho_"], r"gho_[A-Za-z0-9]{20,255}", 3.0),
    token("github_user", &["ghu_"], r"ghu_[A-Za-z0-9]{20,255}", 3.0),
    token("github_app", &["ghs_"], r"ghs_[A-Za-z0-9]{20,255}", 3.0),
    token("github_refresh", &["ghr_"], r"ghr_[A-Za-z0-9]{20,255}", 3.0),
    token("github_fine_grained", &["github_pat_"], r"github_pat_[A-Za-z0-9_]{20,255}", 3.0),
    token("gitlab_personal", &["glpat-"], r"glpat-[A-Za-z0-9_-]{16,}", 3.0),
    token("gitlab_deploy", &["gldt-"], r"gldt-[A-Za-z0-9_-]{20,}", 3.0),
    token("gitlab_runner", &["glrt-"], r"glrt-[A-Za-z0-9_-]{20,}", 3.0),
    token("gitlab_ci_job", &["glcbt-"], r"glcbt-[A-Za-z0-9_-]{20,}", 3.0),
    token("gitlab_feed", &["glft-"], r"glft-[A-Za-z0-9_-]{20,}", 3.0),
    token("gitlab_incoming_mail", &["glimt-"], r"glimt-[A-Za-z0-9_-]{20,}", 3.0),
    token("gitlab_scim", &["glsoat-"], r"glsoat-[A-Za-z0-9_-]{20,}", 3.0),
    token("gitlab_feature_flag", &["glffct-"], r"glffct-[A-Za-z0-9_-]{20,}", 3.0),
    token("gitlab_trigger", &["glptt-"], r"glptt-[a-f0-9]{40}", 3.0),
    token("gitlab_agent", &["glagent-"], r"glagent-[A-Za-z0-9_-]{50}", 3.0),
    token("gitlab_oauth_app", &["gloas-"], r"gloas-[A-Za-z0-9_-]{64}", 3.0),
    token("bitbucket_app_password", &["ATBB"], r"ATBB[A-Za-z0-9]{32}", 3.0),
    token("atlassian_api_token", &["ATATT3"], r"ATATT3[A-Za-z0-9_=-]{180,220}", 3.5),
    token("npm_access_token", &["npm_"], r"npm_[A-Za-z0-9]{30,}", 3.0),
    token("pypi_upload_token", &["pypi-"], r"pypi-[A-Za-z0-9_-]{30,}", 3.0),
    token("rubygems_api_key", &["rubygems_"], r"rubygems_[a-f0-9]{48}", 3.0),
    token("nuget_api_key", &["oy2"], r"oy2[a-z0-9]{43}", 3.0),
    token("clojars_token", &["CLOJARS_"], r"CLOJARS_[a-z0-9]{60}", 3.0),
    token("docker_personal", &["dckr_pat_"], r"dckr_pat_[A-Za-z0-9_-]{27}", 3.0),
    token("docker_organization", &["dckr_oat_"], r"dckr_oat_[A-Za-z0-9_-]{32}", 3.0),
    token("artifactory_api_key", &["AKCp"], r"AKCp[A-Za-z0-9]{69}", 3.0),
    token("sourcegraph_token", &["sgp_"], r"sgp_(?:[a-f0-9]{16}_)?[a-f0-9]{40}", 3.0),
    token("buildkite_api_token", &["bkua_"], r"bkua_[a-f0-9]{40}", 3.0),
    token("circleci_personal", &["CCIPAT_"], r"CCIPAT_[A-Za-z0-9]{22}_[a-f0-9]{40}", 3.0),
    token("pulumi_access_token", &["pul-"], r"pul-[a-f0-9]{40}", 3.0),
    inside("terraform_cloud_token", &[".atlasv1."], 14, r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,70}", 3.5),
    token("vault_service_token", &["hvs."], r"hvs\.[A-Za-z0-9_-]{24,}", 3.0),
    token("vault_batch_token", &["hvb."], r"hvb\.[A-Za-z0-9_-]{100,}", 3.0),
    token("octopus_api_key", &["API-"], r"API-[A-Z0-9]{26}", 3.0),
    token("postman_api_key", &["PMAK-"], r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}", 3.0),
    token("readme_api_key", &["rdme_"], r"rdme_[a-z0-9]{70}", 3.0),
    token("prefect_api_key", &["pnu_"], r"pnu_[A-Za-z0-9]{36}", 3.0),
    token("infracost_api_key", &["ico-"], r"ico-[A-Za-z0-9]{32}", 3.0),
    token("deno_deploy_token", &["ddp_"], r"ddp_[A-Za-z0-9]{36}", 3.0),
    inside("openai_legacy", &["T3BlbkFJ"], 23, r"sk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}", 3.0),
    token("openai_project", &["sk-proj-"], r"sk-proj-[A-Za-z0-9_-]{16,}", 3.0),
    token("openai_service_account", &["sk-svcacct-"], r"sk-svcacct-[A-Za-z0-9_-]{16,}", 3.0),
    token("openai_admin", &["sk-admin-"], r"sk-admin-[A-Za-z0-9_-]{16,}", 3.0),
    token("anthropic_api_key", &["sk-ant-api"], r"sk-ant-api[0-9]{2}-[A-Za-z0-9_-]{16,}", 3.0),
    token("anthropic_admin_key", &["sk-ant-admin"], r"sk-ant-admin[0-9]{2}-[A-Za-z0-9_-]{16,}", 3.0),
    token("openrouter_api_key", &["sk-or-v1-"], r"sk-or-v1-[a-f0-9]{64}", 3.0),
    token("huggingface_access_token", &["hf_"], r"hf_[A-Za-z0-9]{20,}", 3.0),
    token("huggingface_organization", &["api_org_"], r"api_org_[A-Za-z]{34}", 3.0),
    token("replicate_api_token", &["r8_"], r"r8_[A-Za-z0-9]{37}", 3.0),
    token("groq_api_key", &["gsk_"], r"gsk_[A-Za-z0-9]{52}", 3.0),
    token("xai_api_key", &["xai-"], r"xai-[A-Za-z0-9]{80}", 3.0),
    token("perplexity_api_key", &["pplx-"], r"pplx-[A-Za-z0-9]{48}", 3.0),
    token("nvidia_api_key", &["nvapi-"], r"nvapi-[A-Za-z0-9_-]{64}", 3.0),
    token("langsmith_api_key", &["lsv2_"], r"lsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}", 3.0),
    token("langfuse_secret_key", &["sk-lf-"], r"sk-lf-[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}", 3.0),
    token("pinecone_api_key", &["pcsk_"], r"pcsk_[A-Za-z0-9_]{50,}", 3.0),
    token("tavily_api_key", &["tvly-"], r"tvly-(?:dev-)?[A-Za-z0-9]{32}", 3.0),
    value("wandb_api_key", &["wandb"], r"[a-f0-9]{40}", 3.0),
    value("cohere_api_key", &["cohere", "co_api_key"], r"[A-Za-z0-9]{40}", 3.5),
    token("loopwright_api_key", &["lw_"], r"lw_[A-Za-z0-9_]{20,}", 3.0),
    token("stripe_secret_key", &["sk_"], r"sk_(?:live|test)_[A-Za-z0-9]{10,}", 3.0),
    token("stripe_restricted_key", &["rk_"], r"rk_(?:live|test)_[A-Za-z0-9]{10,}", 3.0),
    token("stripe_webhook_secret", &["whsec_"], r"whsec_[A-Za-z0-9+/]{20,}={0,2}", 3.0),
    token("square_access_token", &["sq0atp-", "EAAA"], r"(?:sq0atp-[A-Za-z0-9_-]{22}|EAAA[A-Za-z0-9_-]{60})", 3.0),
    token("square_oauth_secret", &["sq0csp-"], r"sq0csp-[A-Za-z0-9_-]{43}", 3.0),
    token("braintree_access_token", &["access_token$"], r"access_token\$(?:production|sandbox)\$[a-z0-9]{16}\$[a-f0-9]{32}", 3.0),
    token("shopify_admin", &["shpat_"], r"shpat_[a-fA-F0-9]{32}", 3.0),
    token("shopify_custom_app", &["shpca_"], r"shpca_[a-fA-F0-9]{32}", 3.0),
    token("shopify_private_app", &["shppa_"], r"shppa_[a-fA-F0-9]{32}", 3.0),
    token("shopify_shared_secret", &["shpss_"], r"shpss_[a-fA-F0-9]{32}", 3.0),
    token("flutterwave_secret_key", &["FLWSECK"], r"FLWSECK(?:_TEST)?-[a-z0-9]{32}-X", 3.0),
    token("easypost_api_key", &["EZAK", "EZTK"], r"EZ[AT]K[A-Za-z0-9]{54}", 3.0),
    token("shippo_api_token", &["shippo_"], r"shippo_(?:live|test)_[a-f0-9]{40}", 3.0),
    token("duffel_access_token", &["duffel_"], r"duffel_(?:live|test)_[A-Za-z0-9_-]{43}", 3.0),
    token("slack_token", &["xoxa-", "xoxb-", "xoxe-", "xoxp-", "xoxr-", "xoxs-"], r"xox[abeprs]-[A-Za-z0-9-]{10,}", 2.5),
    token("slack_app_token", &["xapp-"], r"xapp-[0-9]-[A-Z0-9]+-[0-9]+-[a-z0-9]{20,}", 3.0),
    token("slack_webhook", &["hooks.slack.com/"], r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9_/-]{40,}", 3.0),
    token("discord_webhook", &["/api/webhooks/"], r"/api/webhooks/[0-9]{17,20}/[A-Za-z0-9_-]{60,}", 3.0),
    value("discord_bot_token", &["discord"], r"[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}", 3.5),
    inside("telegram_bot_token", &[":AA"], 10, r"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}", 3.0),
    token("teams_webhook", &[".webhook.office.com/"], r"\.webhook\.office\.com/webhookb2/[a-f0-9@-]{73}/IncomingWebhook/[a-f0-9]{32}/[a-f0-9-]{36}", 3.0),
    token("sendgrid_api_key", &["SG."], r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}", 3.0),
    token("mailgun_api_key", &["key-"], r"key-[a-f0-9]{32}", 3.0),
    inside("mailchimp_api_key", &["-us"], 32, r"[a-f0-9]{32}-us[0-9]{1,2}", 3.0),
    token("brevo_api_key", &["xkeysib-"], r"xkeysib-[a-f0-9]{64}-[A-Za-z0-9]{16}", 3.0),
    token("brevo_smtp_key", &["xsmtpsib-"], r"xsmtpsib-[a-f0-9]{64}-[A-Za-z0-9]{16}", 3.0),
    token("twilio_api_key", &["SK"], r"SK[a-f0-9]{32}", 3.0),
    value("twilio_auth_token", &["twilio"], r"[a-f0-9]{32}", 3.0),
    token("notion_integration_token", &["secret_"], r"secret_[A-Za-z0-9]{43}", 3.0),
    token("notion_token", &["ntn_"], r"ntn_[A-Za-z0-9]{40,50}", 3.0),
    token("linear_api_key", &["lin_api_"], r"lin_api_[A-Za-z0-9]{40}", 3.0),
    token("figma_personal", &["figd_"], r"figd_[A-Za-z0-9_-]{40}", 3.0),
    token("airtable_personal", &["pat"], r"pat[A-Za-z0-9]{14}\.[a-f0-9]{64}", 3.0),
    token("contentful_personal", &["CFPAT-"], r"CFPAT-[A-Za-z0-9_-]{43}", 3.0),
    token("typeform_personal", &["tfp_"], r"tfp_[A-Za-z0-9_.=-]{59}", 3.0),
    token("frame_io_token", &["fio-u-"], r"fio-u-[A-Za-z0-9_=-]{64}", 3.0),
    token("adobe_client_secret", &["p8e-"], r"p8e-[A-Za-z0-9_-]{32}", 3.0),
    token("databricks_token", &["dapi"], r"dapi[a-f0-9]{32}(?:-[0-9])?", 3.0),
    token("doppler_token", &["dp."], r"dp\.(?:pt|st|sa|ct|scim|audit)\.(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40,44}", 3.0),
    token("dynatrace_token", &["dt0"], r"dt0[a-z]01\.[A-Z0-9]{24}\.[A-Z0-9]{64}", 3.0),
    token("grafana_cloud_token", &["glc_"], r"glc_[A-Za-z0-9+/]{32,}={0,2}", 3.0),
    token("grafana_service_account", &["glsa_"], r"glsa_[A-Za-z0-9]{32}_[a-fA-F0-9]{8}", 3.0),
    token("new_relic_user_key", &["NRAK-"], r"NRAK-[A-Z0-9]{27}", 3.0),
    token("new_relic_browser_key", &["NRJS-"], r"NRJS-[a-f0-9]{19}", 3.0),
    token("new_relic_insert_key", &["NRII-"], r"NRII-[A-Za-z0-9_-]{32}", 3.0),
    token("sentry_organization", &["sntrys_"], r"sntrys_[A-Za-z0-9+/=_-]{40,}", 3.0),
    token("sentry_user", &["sntryu_"], r"sntryu_[a-f0-9]{64}", 3.0),
    token("planetscale_token", &["pscale_tkn_", "pscale_pw_", "pscale_oauth_"], r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_=.-]{32,64}", 3.0),
    inside("maxmind_licence_key", &["_mmk"], 36, r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk", 3.0),
    token("one_password_service_account", &["ops_eyJ"], r"ops_eyJ[A-Za-z0-9+/=_-]{100,}", 3.5),
    token("one_password_secret_key", &["A3-"], r"A3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})-[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{5}", 3.0),
    token("age_secret_key", &["AGE-SECRET-KEY-1"], r"AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}", 3.0),
    token("json_web_token", &["eyJ"], r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}", 3.0),
    token("prefixed_key", &["sk-", "sk_", "pk-", "pk_", "rk-", "rk_"], r"[spr]k[-_][A-Za-z0-9_-]{16,}", 3.2),
];

/// Every keyword with the index of its row.
pub(crate) fn keywords() -> impl Iterator<Item = (u16, &'static str)> {
    RULES.iter().enumerate().flat_map(|(index, rule)| rule.keywords.iter().map(move |word| (index as u16, *word)))
}

impl Rule {
    /// Does the secret stand apart from its keyword, behind an assignment?
    pub(crate) fn is_assigned(&self) -> bool {
        self.form == Form::Value
    }

    /// Where the secret stands whose keyword is at `start..end`.
    pub(crate) fn find(&self, text: &str, start: usize, end: usize) -> Option<(usize, usize)> {
        match self.form {
            Form::Token(0) => self.fit(text, start),
            Form::Token(lead) => (start.saturating_sub(lead)..=start)
                .filter(|begin| text.is_char_boundary(*begin))
                .find_map(|begin| self.fit(text, begin).filter(|found| found.1 >= end)),
            Form::Value => self.fit(text, value_start(text, end)?).filter(|found| is_end(text, found.1)),
        }
    }

    /// The secret that begins here, with what is left of its word.
    fn fit(&self, text: &str, start: usize) -> Option<(usize, usize)> {
        if text[..start].bytes().next_back().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !self.begins_with_sign()
        {
            return None;
        }
        let window = floor_boundary(text, start + SECRET_BYTES_MAX);
        let compiled = self.compiled.get_or_init(|| crate::detect::pattern(&format!(r"\A(?:{})", self.grammar)));
        let found = compiled.find(&text[start..window])?.end() + start;
        let rest =
            text.as_bytes()[found..window].iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_');
        (entropy_bits(&text[start..found]) >= self.entropy_min).then_some((start, found + rest.count()))
    }

    /// `/api/webhooks/…` begins inside an address.
    fn begins_with_sign(&self) -> bool {
        self.keywords[0].starts_with(['/', '.']) && self.form == Form::Token(0)
    }
}

fn is_end(text: &str, at: usize) -> bool {
    !text[at..].bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
}

/// Behind a word: the rest of the name, an assignment, and quotes.
fn value_start(text: &str, end: usize) -> Option<usize> {
    let bytes = &text.as_bytes()[..(end + GAP_BYTES_MAX).min(text.len())];
    let skip = |at: usize, fits: &dyn Fn(u8) -> bool| {
        at + bytes[at.min(bytes.len())..].iter().take_while(|byte| fits(**byte)).count()
    };
    let name = skip(end, &|byte| byte.is_ascii_alphanumeric() || b"_.- ".contains(&byte));
    let quoted = skip(name, &|byte| b"\"' ]".contains(&byte));
    let assigned = skip(quoted, &|byte| b"=:>".contains(&byte));
    let start = skip(assigned, &|byte| b"\"'` ".contains(&byte));
    (assigned > quoted).then_some(start)
}

fn floor_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::secrets;
    use super::*;
    use proptest::{
        strategy::{Strategy, ValueTree},
        test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
    };
    use std::collections::BTreeSet;

    /// Strings of this grammar, the same ones on every run.
    fn instances(grammar: &str, n: usize) -> Vec<String> {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let grammar = grammar.replace("{0,2}", "{0,1}").replace(",}", ",220}");
        let strategy = proptest::string::string_regex(&grammar).unwrap();
        (0..n).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
    }

    fn written(rule: &Rule, secret: &str) -> String {
        match rule.form {
            Form::Token(_) => format!("x = {secret}\n"),
            Form::Value => format!("{}_x: \"{secret}\"\n", rule.keywords[0]),
        }
    }

    #[test]
    fn names_differ_and_every_class_is_found_in_every_instance() {
        assert_eq!(RULES.iter().map(|rule| rule.id).collect::<BTreeSet<_>>().len(), RULES.len());
        for rule in &RULES {
            for secret in instances(rule.grammar, 24) {
                let text = written(rule, &secret);
                let found = secrets(&text);
                let covered = found.iter().any(|it| it.rule == rule.id && text[it.start..it.end].contains(&secret));
                assert!(covered, "{} in `{text}`: {found:?}", rule.id);
            }
        }
    }

    #[test]
    fn near_misses_are_not_of_the_class() {
        for rule in &RULES {
            for secret in instances(rule.grammar, 8) {
                // One character of the end short of the shortest, a wrong character in the middle, and no entropy.
                let compiled = crate::detect::pattern(&format!(r"\A(?:{})", rule.grammar));
                let whole = written(rule, &secret);
                let at = whole.find(&secret).unwrap();
                let shortest = compiled.shortest_match(&secret).unwrap();
                let short = format!("{}{}", &whole[..at], &secret[..shortest - 1]);
                assert!(secrets(&short).iter().all(|it| it.rule != rule.id), "{} in `{short}`", rule.id);
                let dull: String = secret.chars().map(|c| if c.is_ascii_alphanumeric() { 'x' } else { c }).collect();
                let dull = written(rule, &dull);
                assert!(secrets(&dull).iter().all(|it| it.rule != rule.id), "{} in `{dull}`", rule.id);
            }
        }
    }

    #[test]
    fn a_token_inside_a_word_is_none() {
        for text in ["xghp_ABCDEFGHIJKLMNOPQRSTuvwx12", "AIza short", "task-management-systems-for-everyone-2"] {
            assert!(secrets(text).iter().all(|it| !RULES.iter().any(|rule| rule.id == it.rule)), "{text}");
        }
    }
}
