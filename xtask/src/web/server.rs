//! A server for the page: GET, of the files of one folder, for this machine alone.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};

pub(crate) struct Server {
    pub(crate) port: u16,
}

impl Server {
    /// Serves `folder` from a free port, until this program ends.
    pub(crate) fn start(folder: &Path) -> Result<Self, String> {
        let fail = |e: std::io::Error| format!("no server could be started: {e}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(fail)?;
        let port = listener.local_addr().map_err(fail)?.port();
        let folder = folder.to_path_buf();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let folder = folder.clone();
                // The browser that is gone is no one's concern.
                std::thread::spawn(move || answer(&stream, &folder).ok());
            }
        });
        Ok(Self { port })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }
}

fn answer(mut stream: &TcpStream, folder: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // The headers change nothing, but have to be read before the connection is closed.
    lines
        .take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()))
        .for_each(drop);
    let (status, kind, body) = match file(&request, folder).and_then(|path| Some((std::fs::read(&path).ok()?, path))) {
        Some((body, path)) => ("200 OK", kind(&path), body),
        None => ("404 Not Found", "text/plain", b"not found\n".to_vec()),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)
}

/// The file that `GET /path?query HTTP/1.1` asks for, if it is in the folder.
fn file(request: &str, folder: &Path) -> Option<PathBuf> {
    let path = request.strip_prefix("GET /")?.split([' ', '?']).next()?;
    let path = Path::new(if path.is_empty() { "index.html" } else { path });
    let is_inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    is_inside.then(|| folder.join(path))
}

fn kind(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_folder_are_served() {
        let file = |request| file(request, Path::new("site"));
        assert_eq!(file("GET / HTTP/1.1"), Some("site/index.html".into()));
        assert_eq!(file("GET /pkg/index.js?x=1 HTTP/1.1"), Some("site/pkg/index.js".into()));
        assert_eq!(file("GET /../Cargo.toml HTTP/1.1"), None);
        assert_eq!(file("GET //etc/passwd HTTP/1.1"), None);
        assert_eq!(file("POST / HTTP/1.1"), None);
    }
}
