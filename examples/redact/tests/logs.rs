//! Lines as they are in logs, and what becomes of them.

use redact::{Masker, WINDOW};

fn masked(text: &[u8], strict: bool) -> Vec<u8> {
    let mut out = Vec::new();
    assert_eq!(Masker::new(strict).mask(text, true, &mut out), text.len());
    out
}

#[track_caller]
fn becomes(before: &str, after: &str) {
    assert_eq!(String::from_utf8_lossy(&masked(before.as_bytes(), false)), after);
}

#[track_caller]
fn becomes_strictly(before: &str, after: &str) {
    assert_eq!(String::from_utf8_lossy(&masked(before.as_bytes(), true)), after);
}

#[track_caller]
fn stays(text: &str) {
    becomes(text, text);
}

/// A token that no scanner of sources should take for one.
fn github_token() -> String {
    ["ghp", "_16C7e42F292c6912E7710c838347Ae178B4a"].concat()
}

const JWT: &str =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVm-NHl0";

#[test]
fn nginx() {
    becomes(
        "203.0.113.7 - bob@example.com [10/Oct/2025:13:55:36 +0200] \"GET /login?token=a8f5f167f44f&next=%2F HTTP/1.1\" 302 612 \"https://example.com/?email=bob%40example.com&x=1\" \"Mozilla/5.0 (X11; Linux x86_64; rv:130.0)\"\n",
        "203.0.113.7 - [email] [10/Oct/2025:13:55:36 +0200] \"GET /login?token=[token]&next=%2F HTTP/1.1\" 302 612 \"https://example.com/?email=[email]&x=1\" \"Mozilla/5.0 (X11; Linux x86_64; rv:130.0)\"\n",
    );
    becomes(
        "POST /users user%5Bpassword%5D=hunter2&user[token]=x",
        "POST /users user%5Bpassword%5D=[token]&user[token]=[token]",
    );
    stays("2025/10/10 13:55:36 [error] 1234#1234: *5678 open() \"/srv/img/logo@2x.png\" failed\n");
}

#[test]
fn json() {
    becomes(
        r#"{"time":"2025-10-10T13:55:36.123456789Z","user":"bob@example.com","password":"a \"b\" c\\","n":1}"#,
        r#"{"time":"2025-10-10T13:55:36.123456789Z","user":"[email]","password":"[token]","n":1}"#,
    );
    becomes(
        r#"{ "clientSecret" : 'it''s', "accessToken": null, "api_key": "", "authorization": ["Basic eA=="] }"#,
        r#"{ "clientSecret" : '[token]''s', "accessToken": null, "api_key": "", "authorization": ["[token]"] }"#,
    );
    becomes(
        r#"{"body":"{\"password\":\"hunter2\\\"x\\\\\",\"a\":\"b\"}","token":"x"}"#,
        r#"{"body":"{\"password\":\"[token]\",\"a\":\"b\"}","token":"[token]"}"#,
    );
    becomes(r#"{"msg":"token=abc\nnext"}"#, r#"{"msg":"token=[token]\nnext"}"#);
    becomes("\"secret\": \"cut off\nnext", "\"secret\": \"[token]\nnext");
    stays(r#"{"ratio":0.5263157894736842,"tokens":12,"max_token_count":4096,"secret":{"id":7}}"#);
}

#[test]
fn curl() {
    becomes(
        &format!(
            "> GET / HTTP/2\r\n> Authorization: Bearer {JWT}\r\n> X-Api-Key: 12ab\r\n> Accept: */*\r\n"
        ),
        "> GET / HTTP/2\r\n> Authorization: Bearer [token]\r\n> X-Api-Key: [token]\r\n> Accept: */*\r\n",
    );
    becomes(
        "* Server auth using Basic with user 'bob'\n> authorization: Basic Ym9iOmh1bnRlcjI=\n",
        "* Server auth using Basic with user 'bob'\n> authorization: Basic [token]\n",
    );
    becomes(
        "> Proxy-Authorization: Digest username=\"bob\", response=\"6629fae4\"\r\n>",
        "> Proxy-Authorization: Digest [token]\r\n>",
    );
    becomes("curl -H 'Authorization: token abc' x", "curl -H 'Authorization: token [token]");
    stays("< www-authenticate: Bearer realm=\"api\", error=\"invalid_token\"\r\n");
}

#[test]
fn bare_tokens() {
    let token = github_token();
    becomes(&format!("got {JWT}, then {token}."), "got [token], then [token].");
    becomes(&format!("jwt-{JWT} id.{token}/x"), "jwt-[token] id.[token]/x");
    becomes("sent Bearer mF_9.B5f-4.1JqM today", "sent Bearer [token] today");
    becomes("key AKIAIOSFODNN7EXAMPLE used", "key [token] used");
    becomes("DB_PASSWORD=p@ss!w0rd PGPASSWORD='a b'", "DB_PASSWORD=[token] PGPASSWORD='[token]'");
    becomes("password= user=bob token = x", "password= user=bob token = [token]");
    stays("the bearer of bad news broke the token, app::token::Kind was None");
    stays("cursor=eyJpZCI6MTIzNDU2Nzg5MH0 class=sk-spinner-circle-dots-long-name");
}

#[test]
fn what_is_encoded() {
    let token = github_token();
    becomes(
        &format!(r#"{{"msg":"to\nbob@example.com\t{token}\r\n4111111111111111\u000aC:\\new"}}"#),
        r#"{"msg":"to\n[email]\t[token]\r\n[card ..1111]\u000aC:\\new"}"#,
    );
    becomes(
        &format!("GET /?q=card%204111111111111111%0A{token}%22 HTTP/1.1"),
        "GET /?q=card%20[card ..1111]%0A[token]%22 HTTP/1.1",
    );
}

#[test]
fn colours() {
    becomes(
        "\x1b[3mtoken\x1b[0m\x1b[2m=\x1b[0mabc \x1b[31mbob@example.com\x1b[0m",
        "\x1b[3mtoken\x1b[0m\x1b[2m=\x1b[0m[token] \x1b[31m[email]\x1b[0m",
    );
    becomes("\x1b[1m4111111111111111\x1b[0m", "\x1b[1m[card ..1111]\x1b[0m");
}

#[test]
fn orders() {
    becomes(
        "order=10023 card=4111111111111111 amount=12.50\norder 10024: 5555 5555 5555 4444 12/27 123\n",
        "order=10023 card=[card ..1111] amount=12.50\norder 10024: [card ..4444] 12/27 123\n",
    );
    becomes(
        "pan_3782-822463-10005_x (6011111111111117) 2223003122003222",
        "pan_[card ..0005]_x ([card ..1117]) [card ..3222]",
    );
    stays("order=10023 card=4111111111111112 and 5555 5555 5555 4445\n");
    stays("4111 1111  1111 1111, 4111-1111 1111-1111, 41111111111111110000, 0.4111111111111111");
}

#[test]
fn git_remotes() {
    let token = github_token();
    becomes(
        &format!("origin\thttps://bob:{token}@github.com/bob/x.git (fetch)"),
        "origin\thttps://bob:[token]@github.com/bob/x.git (fetch)",
    );
    becomes(
        &format!("origin https://{token}@github.com/x https://{token}:x-oauth-basic@github.com/x"),
        "origin https://[token]@github.com/x https://[token]@github.com/x",
    );
    becomes(
        "DATABASE_URL=postgres://app:p@ss:w0rd@db:5432/app?sslmode=require",
        "DATABASE_URL=postgres://app:[token]@db:5432/app?sslmode=require",
    );
    stays("https://github.com:443/bob/x.git ssh://git@internal/x.git");
}

#[test]
fn times_and_ids_stay() {
    stays("2025-10-10T13:55:36.123456789+02:00 1760097336 1760097336123 1760097336123456789\n");
    stays(
        "20251010135536 20251010135536123 2025-10-10 13:55:36,123 Fri Oct 10 13:55:36 CEST 2025\n",
    );
    stays("id=550e8400-e29b-41d4-a716-446655440000 12345678-1234-4123-8123-123456789012\n");
    stays("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 10.0.0.1 ::1\n");
    stays("systemd[1]: Started getty@tty1.service, vue@3.4.21, root@localhost\n");
}

#[test]
fn strictly() {
    becomes_strictly(
        "10.0.0.1:8080 [2001:db8::1]:443 addr:fe80::1%eth0 ::1 v1.2.3 13:55:36 std::fade_in",
        "[ip]:8080 [[ip]]:443 addr:[ip]%eth0 [ip] v1.2.3 13:55:36 std::fade_in",
    );
    becomes_strictly(
        "id=550e8400-e29b-41d4-a716-446655440000 sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "id=[token] sha256:[token]",
    );
    becomes_strictly(
        "GET /assets/index-4f3c2b1a9d8e7f6a5b4c3d2e1f0a9b8c.js /usr/lib/x86_64-linux-gnu/libssl.so.3",
        "GET /assets/[token].js /usr/lib/x86_64-linux-gnu/libssl.so.3",
    );
    becomes_strictly("d41d8cd98f00b204e9800998ecf8427e_TOKEN=p@ss x", "[token]=[token] x");
}

#[test]
fn other_bytes_pass() {
    let text = b"\xff\xfe\0\x01 token=\xe9t\xe9 \x80\x81 \xc3\n\x1b[\xff";
    assert_eq!(masked(text, false), b"\xff\xfe\0\x01 token=[token] \x80\x81 \xc3\n\x1b[\xff");
}

#[test]
fn masked_text_stays_masked() {
    for text in [
        "Authorization: Bearer [token]\r\n",
        "https://bob:[token]@github.com/ password=[token]&x=1 \"secret\":\"[token]\"",
        "[email] [card ..1111] [token]: error",
    ] {
        stays(text);
    }
}

#[test]
fn a_prompt_does_not_wait() {
    let mut masker = Masker::new(true);
    let mut out = Vec::new();
    for (text, done) in [("login: ", 7), ("Password: ", 10), ("hunter2\n", 8), ("> ", 2)] {
        assert_eq!(masker.mask(text.as_bytes(), false, &mut out), done, "{text}");
    }
    assert_eq!(out, b"login: Password: [token]\n> ");
    assert_eq!(masker.mask(b"mail bo", false, &mut out), 5);
    assert_eq!(masker.mask(b"bo", true, &mut out), 2);
}

#[test]
fn what_is_longer_than_the_window() {
    let long = "1a".repeat(WINDOW);
    becomes(&format!("token={long} x"), "token=[token] x");
    becomes(&format!("\"token\":\"{long}\",x"), "\"token\":\"[token]\",x");
    becomes(&format!("{JWT}{long}/x"), "[token]/x");
    assert!(masked(long.as_bytes(), false) == long.as_bytes());
    // A path is cut at its slashes only.
    let path = "/a-directory".repeat(WINDOW / 8);
    let before = format!("{path}/{}{path}", github_token());
    assert!(masked(before.as_bytes(), false) == format!("{path}/[token]{path}").as_bytes());
}
