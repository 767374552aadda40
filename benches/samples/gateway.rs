//! A gateway in this process, and requests to it.

use std::fs;
use std::io::Read as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use sipost::config;

/// A gateway whose store is in this folder, with one account of these lines.
pub(crate) fn configuration(folder: &Path, account: &str) -> Arc<config::Config> {
    let text = format!(
        r#"
        [http]
        listen = "127.0.0.1:0"
        [store]
        url = "sqlite://{}"
        [delivery]
        max_queued = 1000000
        [[account]]
        {account}
        "#,
        folder.join("sipost.db").display()
    );
    let file: PathBuf = folder.join("sipost.toml");
    fs::write(&file, text).expect("a file is written");
    let sources = config::Sources {
        file: Some(file),
        usual_places: Vec::new(),
        text: None,
        variables: Vec::new(),
        checks_store: false,
        checks_database: false,
    };
    config::load(&sources).expect("a configuration").config
}

/// Posts a JSON document; the whole answer.
pub(crate) fn post(address: SocketAddr, path: &str, body: &str) -> String {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).expect("the gateway listens");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}
