//! Chromium without a window, and its DevTools protocol, over a pair of pipes: messages are JSON, each ended by a zero byte.

use crate::tools::apt;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Programs that speak the protocol.
const NAMES: [&str; 5] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
];

/// Software adapters are off by default, and nothing of the profile, the network or updates is needed.
const FLAGS: &str = "--headless=new --no-sandbox --enable-unsafe-webgpu --use-webgpu-adapter=swiftshader --no-first-run \
    --disable-background-networking --disable-quic --disable-component-update --disable-sync --window-size=1280,1000 \
    --remote-debugging-pipe";

/// What a message other than a check of minutes may take.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// The browser of `CHROMIUM`, or one that is installed, or Debian's.
pub(crate) fn find_or_install() -> Result<PathBuf, String> {
    if let Some(path) = find() {
        return Ok(path);
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err("install Chromium or Chrome, or name its program in the variable CHROMIUM".into());
    }
    println!("No Chromium was found: installing it with apt-get.");
    apt(&["update"])?;
    apt(&["install", "--yes", "--no-install-recommends", "chromium"])?;
    find().ok_or_else(|| "chromium is installed, but there is still no program of that name".into())
}

fn find() -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut programs = std::env::split_paths(&path).flat_map(|folder| NAMES.map(|name| folder.join(name)));
    named.or_else(|| programs.find(|program| program.exists()))
}

/// A running browser with one page. It ends when this is dropped.
pub(crate) struct Browser {
    process: Child,
    to_browser: ChildStdin,
    from_browser: Receiver<Value>,
    profile: PathBuf,
    session: Option<String>,
    last_id: u64,
}

impl Browser {
    /// Opens `url`.
    pub(crate) fn start(chromium: &Path, url: &str) -> Result<Self, String> {
        let fail = |e: std::io::Error| format!("{} could not be started: {e}", chromium.display());
        let profile = std::env::temp_dir().join(format!("wgpu-softmax-web-{}-{}", std::process::id(), now()));
        std::fs::create_dir_all(&profile).map_err(fail)?;
        // The browser reads what it is told from file 3, and answers in file 4.
        let mut process = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null"#])
            .arg(chromium)
            .args(FLAGS.split_whitespace())
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(fail)?;
        let (Some(to_browser), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("the browser has no pipes".into());
        };
        let (sender, from_browser) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(output).split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else {
                    continue;
                };
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self {
            process,
            to_browser,
            from_browser,
            profile,
            session: None,
            last_id: 0,
        };
        browser.open(url)?;
        Ok(browser)
    }

    fn open(&mut self, url: &str) -> Result<(), String> {
        let page = self.call("Target.createTarget", json!({ "url": "about:blank" }), SOON)?;
        let attach = json!({ "targetId": page["targetId"], "flatten": true });
        let attached = self.call("Target.attachToTarget", attach, SOON)?;
        self.session = attached["sessionId"].as_str().map(String::from);
        self.call("Page.enable", json!({}), SOON)?;
        self.navigate(url)
    }

    /// Goes to a page, and waits until it is loaded.
    pub(crate) fn navigate(&mut self, url: &str) -> Result<(), String> {
        self.call("Page.navigate", json!({ "url": url }), SOON)?;
        let end = Instant::now() + SOON;
        while Instant::now() < end {
            let loaded = format!("location.href === {} && document.readyState === 'complete'", json!(url));
            if self.evaluate(&loaded, SOON).is_ok_and(|loaded| loaded == true) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!("{url} was not loaded"))
    }

    /// Calls a method of the protocol, and waits for its result.
    pub(crate) fn call(&mut self, method: &str, params: Value, limit: Duration) -> Result<Value, String> {
        self.last_id += 1;
        let id = self.last_id;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let sent = self.to_browser.write_all(format!("{message}\0").as_bytes());
        sent.and_then(|()| self.to_browser.flush())
            .map_err(|e| format!("{method}: the browser has ended: {e}"))?;
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let answer = self.from_browser.recv_timeout(left);
            let answer = answer.map_err(|_| format!("{method}: no answer within {} s", limit.as_secs()))?;
            if answer["id"] == id {
                return match answer.get("error") {
                    Some(error) => Err(format!("{method}: {}", error["message"].as_str().unwrap_or("failed"))),
                    None => Ok(answer["result"].clone()),
                };
            }
        }
    }

    /// The value of a JavaScript expression, or of what its promise becomes.
    pub(crate) fn evaluate(&mut self, expression: &str, limit: Duration) -> Result<Value, String> {
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", params, limit)?;
        match answer.get("exceptionDetails") {
            None => Ok(answer["result"]["value"].clone()),
            Some(details) => {
                let exception = &details["exception"];
                let text = exception["description"].as_str().or(exception["value"].as_str());
                Err(text.or(details["text"].as_str()).unwrap_or("an exception").into())
            }
        }
    }

    /// Waits until a JavaScript expression is true.
    pub(crate) fn wait_until(&mut self, expression: &str, limit: Duration) -> Result<(), String> {
        let end = Instant::now() + limit;
        while self.evaluate(expression, SOON)? != true {
            if Instant::now() > end {
                return Err(format!("after {} s, not yet: {expression}", limit.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// A picture of what is seen of the page.
    pub(crate) fn screenshot(&mut self, file: &Path) -> Result<(), String> {
        let picture = self.call("Page.captureScreenshot", json!({}), SOON)?;
        let bytes = base64(picture["data"].as_str().unwrap_or_default());
        std::fs::write(file, bytes).map_err(|e| format!("{}: {e}", file.display()))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.session = None;
        // It ends by itself if it can; what else is there to do is done either way.
        let _ = self.call("Browser.close", json!({}), Duration::from_secs(5));
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

fn now() -> u128 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_micros()
}

/// The bytes of a text in base64; it ends at the first letter that is none of that alphabet, as the padding is.
fn base64(text: &str) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let values = text
        .bytes()
        .map_while(|letter| LETTERS.iter().position(|l| *l == letter));
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0usize, 0);
    for value in values {
        bits = (bits << 6 | value) & 0xFFFF;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_with_and_without_padding() {
        assert_eq!(base64("c29mdG1heA=="), b"softmax");
        assert_eq!(base64("AP/+"), [0, 255, 254]);
    }
}
