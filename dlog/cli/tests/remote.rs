//! Client commands over TLS, with a token, and over HTTP: what they print is what they print over
//! the store.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A server that is killed when its test ends or panics.
struct Server {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dlog"))
            .args(arguments)
            .env("DLOG_CONFIG", "/dev/null")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the command was built");
        let lines = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, lines }
    }

    /// Waits for the line that begins with `text`, and returns its rest.
    fn says(&mut self, text: &str) -> String {
        for line in self.lines.by_ref().lines() {
            let line = line.expect("lines are text");
            if let Some(rest) = line.strip_prefix(text) {
                return rest.to_owned();
            }
        }
        panic!("it ended without {text:?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A user with a folder and a configuration file.
struct User(TempDir);

impl User {
    fn new() -> Self {
        let user = Self(tempfile::tempdir().expect("a temporary folder"));
        std::fs::write(user.path("config.toml"), "").expect("it can be written");
        user
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn runs_with(&self, line: &[&str], input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dlog"))
            .args(line)
            .current_dir(self.0.path())
            .env("DLOG_CONFIG", self.path("config.toml"))
            .env_remove("DLOG_URI")
            .env_remove("DLOG_TO")
            .env_remove("DLOG_CONTEXT")
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command was built");
        let mut keyboard = child.stdin.take().expect("it is piped");
        let typed = keyboard.write_all(input.as_bytes());
        drop(keyboard);
        let output = child.wait_with_output().expect("it was started");
        // A command that fails may not read its input.
        assert!(typed.is_ok() || !output.status.success());
        output
    }

    fn runs(&self, line: &[&str]) -> Output {
        self.runs_with(line, "")
    }

    /// Returns what a command prints that succeeds.
    fn prints(&self, line: &[&str]) -> String {
        let output = self.runs(line);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{line:?}: {error}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Returns what a command says that fails with this status.
    fn fails(&self, line: &[&str], status: i32) -> String {
        let output = self.runs(line);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{line:?}: {error}");
        error
    }
}

/// Writes a certificate for `localhost`, its key and a token into the user's folder.
fn secrets(user: &User) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a name");
    let write = |name: &str, text: String| {
        std::fs::write(user.path(name), text).expect("it can be written");
    };
    write("cert.pem", made.cert.pem());
    write("key.pem", made.signing_key.serialize_pem());
    write("token", "a-token-of-32-letters-at-the-least\n".to_owned());
}

/// Passes requests on to a proxy, without the format that proxies of earlier versions do not know.
/// Returns its URL. It ends with the process.
fn earlier_version(url: &str) -> String {
    const UNKNOWN: &[u8] = b"application/vnd.distributedlog.entries,";
    let proxy = url.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let pass = move |mut client: TcpStream| -> std::io::Result<()> {
        let mut server = TcpStream::connect(&proxy)?;
        let (mut answers, mut to) = (server.try_clone()?, client.try_clone()?);
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut answers, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
        let mut bytes = [0; 8 << 10];
        // A client sends the head of a request at once.
        loop {
            let count = client.read(&mut bytes)?;
            if count == 0 {
                return server.shutdown(Shutdown::Both);
            }
            let request = &mut bytes[..count];
            let found = request.windows(UNKNOWN.len()).position(|it| it == UNKNOWN);
            if let Some(at) = found {
                request[at..at + UNKNOWN.len()].fill(b' ');
            }
            server.write_all(request)?;
        }
    };
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let pass = pass.clone();
            std::thread::spawn(move || pass(client));
        }
    });
    format!("http://{address}")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain name")
}

#[test]
fn a_proxy_with_tls_and_a_token_is_written_to_listed_read_and_dumped_by_a_context() {
    let user = User::new();
    secrets(&user);
    let (data, cert) = (user.path("data"), user.path("cert.pem"));
    let (key, token) = (user.path("key.pem"), user.path("token"));
    let mut proxy = Server::start(&[
        "proxy",
        "-p",
        "0",
        "--http-port",
        "0",
        "--data",
        text(&data),
        "--tls-certificates",
        text(&cert),
        "--tls-key",
        text(&key),
        "--http-token-file",
        text(&token),
    ]);
    let name = format!("inet!{}", proxy.says("listening on "));
    let url = proxy.says("HTTP on ");
    assert!(url.starts_with("https://"), "{url}");
    user.prints(&[
        "context",
        "add",
        "safe",
        "--to",
        &name,
        "--http",
        &url,
        "--tls-ca",
        "cert.pem",
        "--tls-name",
        "localhost",
        "--token-file",
        "token",
        "--streams",
        "a,b",
    ]);
    let written = user.runs_with(&["console-multi-writer", "-v"], "one\ntwo\nthree\n");
    let said = String::from_utf8_lossy(&written.stderr);
    assert_eq!(written.status.code(), Some(0), "{said}");
    assert_eq!(user.prints(&["tool", "list"]), "a\nb\n");
    let read = user.prints(&[
        "multi-reader",
        "--merge",
        "--from",
        "oldest",
        "--count",
        "3",
    ]);
    for line in ["one", "two", "three"] {
        assert!(
            read.contains(&format!("\"\"\"\n{line}\n\"\"\"\n")),
            "{read}"
        );
    }
    let dumped =
        user.prints(&["tool", "dump", "-s", "a"]) + &user.prints(&["tool", "dump", "-s", "b"]);
    assert_eq!(dumped.matches("Record (dlsn").count(), 3, "{dumped}");
    assert!(user.prints(&["doctor"]).contains("0 failures, 0 warnings"));
    let bench = [
        "bench",
        "--duration",
        "1s",
        "--warm-up",
        "0s",
        "--verify",
        &url,
    ];
    assert!(user.prints(&bench).contains("records/s"));
    // The same by flags; and what is missing is said.
    let flags = ["--tls-ca", "cert.pem", "--tls-name", "localhost"];
    let list = ["tool", "list", "--to", &url];
    let with_token = ["--token-file", "token"];
    let whole = [&list[..], &flags, &with_token].concat();
    assert_eq!(user.prints(&whole), "a\nb\n");
    let said = user.fails(&[&list[..], &flags].concat(), 1);
    assert!(
        said.contains("requires a token") && said.contains("--token-file"),
        "{said}"
    );
    let said = user.fails(&[&list[..], &with_token].concat(), 1);
    assert!(said.contains("certificate"), "{said}");
    // The context's token is not for another place.
    let said = user.fails(&list, 1);
    assert!(said.contains("certificate"), "{said}");
}

#[test]
fn over_http_commands_print_what_they_print_over_the_store() {
    let user = User::new();
    let data = user.path("data");
    let mut local = Server::start(&["local", "0", "--data", text(&data)]);
    let port = local.says("listening on 127.0.0.1:");
    let uri = format!("distributedlog://127.0.0.1:{port}/messaging/distributedlog");
    let mut proxy = Server::start(&["proxy", "-p", "0", "--http-port", "0", "-u", &uri]);
    let name = format!("inet!{}", proxy.says("listening on "));
    let url = proxy.says("HTTP on ");
    let created = user.prints(&["tool", "create", "-u", &url, "-r", "s-", "-e", "1-3", "-f"]);
    assert_eq!(
        created,
        "Created log stream s-1.\nCreated log stream s-2.\nCreated log stream s-3.\n"
    );
    let said = user.fails(&["tool", "create", "--to", &url, "-e", "s-1", "-f"], 1);
    assert!(
        said.contains("exist already") && said.contains(&url),
        "{said}"
    );
    let earlier = earlier_version(&url);
    let lines: String = (0..500)
        .map(|number| format!("record {number}\n"))
        .collect();
    let flags = ["--buffer-size", "2000", "--flush-interval", "5ms"];
    let write = [&["console-multi-writer"], &flags[..], &[&name, "s-1,s-2"]].concat();
    assert_eq!(user.runs_with(&write, &lines).status.code(), Some(0));
    for command in [
        &["tool", "list"][..],
        &["tool", "list", "-r", "s-2", "--format", "json"],
        &["tool", "show", "-s", "s-1,s-3"],
        &["tool", "show", "-s", "s-2", "--format", "json"],
        &["tool", "dump", "-s", "s-1", "-l", "1000"],
        &[
            "tool", "dump", "-s", "s-2", "--format", "json", "--from", "last",
        ],
        &["tool", "dump", "-s", "s-2", "--since", "1h"],
        &["tool", "count", "-s", "s-1,s-2,s-3"],
        &["tool", "retention", "-s", "s-1"],
        &["tool", "retention", "--format", "json"],
        &[
            "multi-reader",
            "--from",
            "oldest",
            "--count",
            "100",
            "--format",
            "json",
            "s-1",
        ],
    ] {
        let over = |place: &str| user.prints(&[command, &["--to", place]].concat());
        assert_eq!(over(&url), over(&uri), "{command:?}");
        // Some of them name the place where they read.
        let printed = over(&earlier).replace(&earlier, &url);
        assert_eq!(printed, over(&url), "{command:?}, as lines");
    }
    let merged = [
        "multi-reader",
        "--merge",
        "--from",
        "oldest",
        "--count",
        "500",
        "s-1,s-2",
    ];
    let sorted = |place: &str| {
        let text = user.prints(&[&merged[..], &["--format", "json", "--to", place]].concat());
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(sorted(&url), sorted(&uri));
    assert_eq!(sorted(&earlier), sorted(&uri));
    let set = [
        "tool",
        "retention",
        "--to",
        &url,
        "-s",
        "s-1",
        "--age",
        "7d",
    ];
    assert!(user.prints(&set).contains("Retention of s-1"));
    let truncate = [
        "tool", "truncate", "--to", &url, "-s", "s-2", "--dlsn", "1,1,0", "-f",
    ];
    assert!(user.prints(&truncate).contains("Truncated log stream s-2"));
    user.prints(&["tool", "delete", "--to", &url, "-s", "s-1,s-3", "-f"]);
    assert_eq!(user.prints(&["tool", "list", "-u", &uri]), "s-2\n");
    let said = user.fails(&["tool", "dump", "--to", &url, "-s", "s-1"], 1);
    assert!(said.contains("log stream s-1 is not found"), "{said}");
    let said = user.fails(&["tool", "list", "--to", &name], 2);
    assert!(
        said.contains("from which no streams are listed") && said.contains("http://"),
        "{said}"
    );
    let said = user.fails(&["console-multi-writer", "--to", &url, "s-2"], 2);
    assert!(said.contains("names no write proxies"), "{said}");
    let said = user.fails(&["tool", "inspect", "-u", &uri], 1);
    assert!(said.contains("no ledgers"), "{said}");
}

#[test]
fn a_record_that_is_written_while_a_reader_waits_reaches_it_over_http() {
    let user = User::new();
    let data = user.path("data");
    let mut proxy = Server::start(&[
        "proxy",
        "-p",
        "0",
        "--http-port",
        "0",
        "--data",
        text(&data),
    ]);
    let name = format!("inet!{}", proxy.says("listening on "));
    let url = proxy.says("HTTP on ");
    user.prints(&["tool", "create", "--to", &url, "-e", "s", "-f"]);
    let mut reader = Server::start(&[
        "multi-reader",
        "--from",
        "latest",
        "--count",
        "2",
        &url,
        "s",
    ]);
    reader.says("Open reader to read records from stream s");
    for line in ["first\n", "second\n"] {
        let written = user.runs_with(&["console-multi-writer", &name, "s"], line);
        assert_eq!(written.status.code(), Some(0));
        reader.says("Received record ");
    }
    assert_eq!(reader.child.wait().expect("it was started").code(), Some(0));
}

#[test]
fn a_configuration_file_that_is_wrong_ends_commands_that_need_it_and_no_other() {
    let user = User::new();
    std::fs::write(user.path("config.toml"), "[proxy]\nprot = 1\n").expect("it can be written");
    let said = user.fails(&["tool", "list"], 2);
    assert!(
        said.contains("config.toml:2: proxy has no flag --prot; is port meant?"),
        "{said}"
    );
    user.fails(&["config", "check"], 2);
    for works in [
        &["--version"][..],
        &["config", "path"],
        &["tool", "--help"],
        &["man"],
    ] {
        user.prints(works);
    }
    let said = user.fails(&["--config", "none.toml", "tool", "list"], 2);
    assert!(said.contains("none.toml"), "{said}");
    std::fs::write(
        user.path("config.toml"),
        "[proxy]\nport = 7\nhttp-port = 8\n",
    )
    .expect("written");
    let printed = user.prints(&["proxy", "--print-config", "--http-port", "9"]);
    let line = |setting: &str| {
        let found = printed
            .lines()
            .find(|line| line.starts_with(setting))
            .expect(setting);
        found.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let file = user.path("config.toml");
    assert_eq!(line("port "), format!("port 7 {}:2", file.display()));
    assert_eq!(line("http_port "), "http_port 9 --http-port");
}
