//! A browser's requests without a browser: for measuring pages over HTTP.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use taizhang_core::id::hex;

/// One signed-in person at one office's pages.
pub struct Pages {
    address: String,
    cookie: String,
    csrf: String,
}

/// What came back.
pub struct Answer {
    /// Status and headers.
    pub head: String,
    /// The page.
    pub body: String,
    /// From the first byte sent to the last one read.
    pub time: Duration,
}

fn after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.split(mark).nth(1)
}

impl Pages {
    /// Signs in.
    ///
    /// # Errors
    ///
    /// If nobody answers, or login or password are wrong.
    pub fn sign_in(pages: &str, login: &str, password: &str) -> Result<Self, String> {
        let address = pages.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let mut one = Self { address, cookie: String::new(), csrf: String::new() };
        let form = [("login", login), ("password", password), ("next", "/")];
        let answer = one.post("/signin", &form)?;
        let cookie = after(&answer.head, "set-cookie: ").ok_or("no session")?;
        one.cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        let home = one.get("/")?;
        let word =
            after(&home.body, "name=\"csrf\" value=\"").ok_or("no form on the first page")?;
        one.csrf = word.split('"').next().unwrap_or_default().to_owned();
        Ok(one)
    }

    /// Somebody without an account.
    pub fn stranger(pages: &str) -> Self {
        let address = pages.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Self { address, cookie: String::new(), csrf: String::new() }
    }

    /// The same person, who reads `zh` or `en`.
    pub fn in_language(mut self, lang: &str) -> Self {
        self.cookie = format!("{}; lang={}", self.cookie, hex(lang.as_bytes()));
        self
    }

    /// Asks for a page.
    ///
    /// # Errors
    ///
    /// If nobody answers.
    pub fn get(&self, path: &str) -> Result<Answer, String> {
        self.send("GET", path, "")
    }

    /// Sends a form.
    ///
    /// # Errors
    ///
    /// If nobody answers.
    pub fn post(&self, path: &str, fields: &[(&str, &str)]) -> Result<Answer, String> {
        let encoded = |text: &str| {
            let digits = hex(text.as_bytes()).into_bytes();
            digits.chunks(2).map(|two| format!("%{}", String::from_utf8_lossy(two))).collect()
        };
        let pair = |(key, value): &(&str, &str)| -> String {
            let value: String = encoded(value);
            format!("{key}={value}")
        };
        let mut form: Vec<String> = fields.iter().map(pair).collect();
        form.push(format!("csrf={}", self.csrf));
        self.send("POST", path, &form.join("&"))
    }

    fn send(&self, method: &str, path: &str, body: &str) -> Result<Answer, String> {
        let failed = |error: std::io::Error| error.to_string();
        let start = Instant::now();
        let mut stream = TcpStream::connect(&self.address).map_err(failed)?;
        let (address, cookie, length) = (&self.address, &self.cookie, body.len());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nCookie: {cookie}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).map_err(failed)?;
        stream.write_all(body.as_bytes()).map_err(failed)?;
        let mut text = Vec::new();
        stream.read_to_end(&mut text).map_err(failed)?;
        let time = start.elapsed();
        let text = String::from_utf8_lossy(&text).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").ok_or("no answer")?;
        Ok(Answer { head: head.to_owned(), body: body.to_owned(), time })
    }
}
