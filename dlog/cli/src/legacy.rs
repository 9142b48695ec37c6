//! The original's flags of several letters behind one dash.
//!
//! `DistributedLogServerApp` takes `-sp 8001`, which clap would read as `-s p 8001`. Before clap
//! sees the command line, [`rewrite`] spells such flags out (`-sp` becomes `--stats-port`,
//! `-sp=8001` becomes `--stats-port=8001`), but only the ones in [`FLAGS`], only for the command
//! that has them, and only before `--`.

use std::ffi::OsString;

/// One flag of the original.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    /// Command that has the flag, with its group.
    pub(crate) command: &'static [&'static str],
    /// Spelling of the original.
    pub(crate) short: &'static str,
    /// Spelling of this command.
    pub(crate) long: &'static str,
}

const fn flag(command: &'static [&'static str], short: &'static str, long: &'static str) -> Flag {
    Flag {
        command,
        short,
        long,
    }
}

/// Every flag that is rewritten.
pub(crate) const FLAGS: &[Flag] = &[
    flag(&["proxy"], "-sp", "--stats-port"),
    flag(&["proxy"], "-si", "--shard-id"),
    flag(&["proxy"], "-mx", "--thriftmux"),
    flag(&["proxy"], "-sc", "--stream-conf"),
    flag(&["proxy"], "-pd", "--stats-provider"),
    flag(&["proxy"], "-la", "--load-appraiser"),
    flag(&["tool", "dump"], "-sp", "--skip-payload"),
    flag(&["tool", "inspect"], "-ft", "--prefix"),
    flag(&["tool", "listbookies"], "-rw", "--readwrite"),
    flag(&["tool", "listbookies"], "-ro", "--readonly"),
    flag(&["tool", "readentries"], "-fid", "--from"),
    flag(&["tool", "readentries"], "-uid", "--to"),
    flag(&["tool", "readentries"], "-sp", "--skip-payload"),
    flag(&["admin", "bind"], "-bkzr", "--bk-zk-servers-for-reader"),
    flag(&["admin", "bind"], "-dlzw", "--dl-zk-servers-for-writer"),
    flag(&["admin", "bind"], "-dlzr", "--dl-zk-servers-for-reader"),
    flag(&["admin", "bind"], "-seqno", "--first-log-segment-seqno"),
    flag(&["tool", "show"], "-ns", "--no-log-segments"),
    flag(&["tool", "truncate"], "-dlsn", "--dlsn"),
    flag(&["tool", "truncate_stream"], "-dlsn", "--dlsn"),
    flag(&["tool", "truncate-stream"], "-dlsn", "--dlsn"),
    flag(&["tool", "serialize-dlsn"], "-dlsn", "--dlsn"),
    flag(&["tool", "serialize_dlsn"], "-dlsn", "--dlsn"),
    flag(&["tool", "deserialize-dlsn"], "-b64", "--base64"),
    flag(&["tool", "deserialize_dlsn"], "-b64", "--base64"),
];

/// Spells out the original's flags of several letters in a command line. The first argument is the
/// program's name.
pub(crate) fn rewrite(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut command: Vec<String> = Vec::new();
    let mut ended = false;
    args.into_iter()
        .enumerate()
        .map(|(index, arg)| {
            let Some(text) = arg.to_str().filter(|_| index > 0 && !ended) else {
                return arg;
            };
            if text == "--" {
                ended = true;
            } else if text.starts_with('-') {
                return spelled_out(&command, text).map_or(arg, OsString::from);
            } else if command.len() < 2 {
                // `tool` and `admin` are the commands with subcommands; for the others the second
                // word is a value and matches nothing.
                command.push(text.to_owned());
            }
            arg
        })
        .collect()
}

fn spelled_out(command: &[String], text: &str) -> Option<String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    let known = FLAGS.iter().find(|flag| {
        flag.short == name
            && command.iter().zip(flag.command).all(|(a, b)| a == b)
            && command.len() >= flag.command.len()
    })?;
    Some(value.map_or_else(
        || known.long.to_owned(),
        |value| format!("{}={value}", known.long),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(line: &str) -> String {
        let words = rewrite(line.split(' ').map(OsString::from));
        words
            .into_iter()
            .map(|word| word.into_string().expect("the test is ASCII"))
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn the_tutorials_proxy_command_is_understood_as_it_is_written() {
        assert_eq!(
            rewritten("dlog proxy -p 8000 --shard-id 1 -sp 8001 -u distributedlog://h/n -mx"),
            "dlog proxy -p 8000 --shard-id 1 --stats-port 8001 -u distributedlog://h/n --thriftmux"
        );
    }

    #[test]
    fn a_value_may_follow_an_equals_sign() {
        assert_eq!(rewritten("dlog proxy -si=-1"), "dlog proxy --shard-id=-1");
    }

    #[test]
    fn every_command_has_its_own_flags_and_no_others() {
        assert_eq!(
            rewritten("dlog tool dump -sp -s x"),
            "dlog tool dump --skip-payload -s x"
        );
        assert_eq!(
            rewritten("dlog tool create -sp -mx"),
            "dlog tool create -sp -mx"
        );
        assert_eq!(
            rewritten("dlog -v tool serialize_dlsn -dlsn 1,0,0"),
            "dlog -v tool serialize_dlsn --dlsn 1,0,0"
        );
        assert_eq!(rewritten("dlog local -sp"), "dlog local -sp");
    }

    #[test]
    fn nothing_is_rewritten_after_two_dashes_or_in_the_programs_name() {
        assert_eq!(rewritten("dlog proxy -- -sp"), "dlog proxy -- -sp");
        assert_eq!(rewritten("-sp proxy -sp"), "-sp proxy --stats-port");
    }

    #[test]
    fn arguments_that_are_not_text_pass_through() {
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStringExt as _;
            let odd = OsString::from_vec(vec![b'-', 0xff]);
            assert_eq!(rewrite(["dlog".into(), odd.clone()]), ["dlog".into(), odd]);
        }
    }
}
