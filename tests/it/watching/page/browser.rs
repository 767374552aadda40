//! Chromium, told what to do over its DevTools protocol.

use std::process::Stdio;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::SinkExt as _;
use futures_util::StreamExt as _;
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::process::Command;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::super::soon;

/// A browser with one page open.
pub(super) struct Browser {
    child: Child,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: String,
    next: u64,
    /// What the page wrote to its console, and what went wrong in it.
    complaints: Vec<String>,
    /// What the page asked for that is not there.
    missing: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    /// Starts one and opens this address.
    pub(super) async fn open(url: &str) -> Self {
        Self::open_with(url, "").await
    }

    /// The same, and runs this script before those of the page.
    pub(super) async fn open_with(url: &str, script: &str) -> Self {
        // A name that leads here, as DNS rebinding makes one.
        let rebound = "--host-resolver-rules=MAP rebound.example 127.0.0.1";
        let profile = tempfile::tempdir().unwrap();
        let mut child = Command::new("chromium")
            .args(["--headless=new", "--no-sandbox", "--disable-gpu"])
            .args([
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--hide-scrollbars",
            ])
            .args(["--disable-background-networking", "--disable-sync"])
            .args(["--remote-debugging-port=0", "--window-size=1280,1000"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args([rebound, "about:blank"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = soon(async {
            loop {
                let line = lines.next_line().await.unwrap().unwrap();
                if let Some(address) = line.strip_prefix("DevTools listening on ") {
                    break address.to_owned();
                }
            }
        });
        let address = address.await;
        // What else it says is of no interest, but it must be able to say it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let (socket, _) = soon(tokio_tungstenite::connect_async(address))
            .await
            .unwrap();
        let mut browser = Self {
            child,
            socket,
            session: String::new(),
            next: 0,
            complaints: Vec::new(),
            missing: Vec::new(),
            _profile: profile,
        };
        let page = json!({"url": "about:blank"});
        let target = browser.call("Target.createTarget", page).await;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.call("Target.attachToTarget", attach).await;
        session["sessionId"]
            .as_str()
            .unwrap()
            .clone_into(&mut browser.session);
        for domain in ["Runtime.enable", "Log.enable", "Page.enable"] {
            browser.call(domain, json!({})).await;
        }
        let source = json!({"source": script});
        let add = "Page.addScriptToEvaluateOnNewDocument";
        browser.call(add, source).await;
        browser.resize(1280, 1000).await;
        browser.call("Page.navigate", json!({"url": url})).await;
        browser
    }

    /// Makes its window as large as this.
    pub(super) async fn resize(&mut self, width: u32, height: u32) {
        let size = json!({
            "width": width,
            "height": height,
            "deviceScaleFactor": 1,
            "mobile": width < 600,
        });
        let set = "Emulation.setDeviceMetricsOverride";
        self.call(set, size).await;
    }

    /// Waits until this is true.
    pub(super) async fn until(&mut self, condition: &str) {
        let wait = "(async (is) => { \
                    while (!is()) await new Promise((done) => setTimeout(done, 20)); })";
        self.evaluate(&format!("{wait}(() => {condition})")).await;
    }

    /// Waits until the text of this element has these words in it, and gives it whole.
    pub(super) async fn until_says(&mut self, selector: &str, words: &str) -> String {
        let (selector, words) = (json!(selector), json!(words));
        let text = format!("(document.querySelector({selector})?.innerText ?? '')");
        self.until(&format!("{text}.includes({words})")).await;
        let text = self.evaluate(&text).await;
        text.as_str().unwrap().to_owned()
    }

    /// What this element says.
    pub(super) async fn text(&mut self, selector: &str) -> String {
        self.until_says(selector, "").await
    }

    /// Waits for this element, and clicks on it.
    pub(super) async fn click(&mut self, selector: &str) {
        let element = format!("document.querySelector({})", json!(selector));
        self.until(&format!("{element} !== null")).await;
        self.evaluate(&format!("{element}.click()")).await;
    }

    /// Chooses the tab of this name.
    pub(super) async fn choose(&mut self, name: &str) {
        let tab = format!(
            "[...document.querySelectorAll('[role=tab]')].find((tab) => tab.textContent === {})",
            json!(name)
        );
        self.until(&format!("{tab} !== undefined")).await;
        self.evaluate(&format!("{tab}.click()")).await;
    }

    /// Presses and releases a key, as the keyboard does.
    pub(super) async fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            other => panic!("the test has no {other}"),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({"type": kind, "key": key, "windowsVirtualKeyCode": code});
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = json!(text);
            }
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Goes on with the tabulator until the element of this id has the focus.
    pub(super) async fn tab_to(&mut self, id: &str) {
        // More than a page has.
        for _ in 0..100 {
            let focused = self.evaluate("document.activeElement.id").await;
            if focused == id {
                return;
            }
            self.press("Tab").await;
        }
        panic!("the tabulator does not reach {id}");
    }

    /// Writes this into a field.
    pub(super) async fn write(&mut self, selector: &str, text: &str) {
        let (selector, text) = (json!(selector), json!(text));
        let write = format!("document.querySelector({selector}).value = {text}");
        self.evaluate(&write).await;
    }

    /// What this expression is, or what it promises.
    pub(super) async fn evaluate(&mut self, expression: &str) -> Value {
        // The page may still be on its way in.
        let ready = "new Promise((done) => document.readyState === 'complete' ? done() \
                     : addEventListener('load', done))";
        for expression in [ready, expression] {
            let what = json!({
                "expression": expression,
                "awaitPromise": true,
                "returnByValue": true,
            });
            let answer = self.call("Runtime.evaluate", what).await;
            assert!(answer.get("exceptionDetails").is_none(), "{answer}");
            if expression != ready {
                return answer["result"]["value"].clone();
            }
        }
        Value::Null
    }

    /// Makes its user prefer this colour scheme.
    pub(super) async fn prefer(&mut self, scheme: &str) {
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        let media = json!({"features": [feature]});
        self.call("Emulation.setEmulatedMedia", media).await;
    }

    /// How the page looks, as PNG.
    pub(super) async fn screenshot(&mut self) -> Vec<u8> {
        let what = json!({"format": "png", "captureBeyondViewport": true});
        let answer = self.call("Page.captureScreenshot", what).await;
        BASE64_STANDARD
            .decode(answer["data"].as_str().unwrap())
            .unwrap()
    }

    /// What the page asked for so far that is not there.
    pub(super) fn missing(&self) -> Vec<String> {
        self.missing.clone()
    }

    /// What went wrong in the page so far.
    pub(super) fn complaints(&self) -> Vec<String> {
        self.complaints.clone()
    }

    /// Ends it.
    pub(super) async fn close(mut self) {
        self.session.clear();
        self.call("Browser.close", json!({})).await;
        soon(self.child.wait()).await.unwrap();
    }

    async fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.next += 1;
        let mut request = json!({"id": self.next, "method": method, "params": parameters});
        if !self.session.is_empty() {
            request["sessionId"] = json!(self.session);
        }
        let text = Message::Text(request.to_string().into());
        soon(self.socket.send(text)).await.unwrap();
        loop {
            let frame = soon(self.socket.next()).await.unwrap().unwrap();
            let Message::Text(text) = frame else {
                continue;
            };
            let heard: Value = serde_json::from_str(&text).unwrap();
            if heard["id"] == self.next {
                assert!(heard.get("error").is_none(), "{method}: {heard}");
                return heard["result"].clone();
            }
            self.note(&heard);
        }
    }

    fn note(&mut self, heard: &Value) {
        let what = &heard["params"];
        match heard["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.complaints.push(what.to_string()),
            Some("Log.entryAdded") if what["entry"]["source"] != "network" => {
                self.complaints.push(what.to_string());
            }
            // A message that is refused is an answer, although the browser takes it for an error.
            Some("Log.entryAdded") => {
                let text = what["entry"]["text"].as_str().unwrap_or_default();
                if text.contains("404") {
                    self.missing.push(what["entry"]["url"].to_string());
                }
            }
            _ => {}
        }
    }
}
